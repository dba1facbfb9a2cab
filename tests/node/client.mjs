// Connects as a browser does and prints what it sees, one JSON value a line.
// Usage: node client.mjs '{"url", "token", "topic", "phoenix": package, "auth": "query" | "protocol", "params", "again": bool}'
// `again`: make a channel in each onOpen until the final message is there, as ModelRiver's client 1.3.9 does.
// A while after a close with 1000, and after each connection that follows it, it says how many there have been: ["after", n].
import WebSocket from "ws"

const WATCHED = 300  // milliseconds: phoenix.js 1.8.16 is back 10 ms after a close

const { url, token, topic, phoenix = "phoenix", auth = "query", params = {}, again = false } = JSON.parse(process.argv[2])
const { Socket } = await import(phoenix)
const tell = (type, value) => process.stdout.write(JSON.stringify([type, value]) + "\n")

const credentials = auth === "query" ? { params: { token } } : { authToken: token }
const socket = new Socket(url, { transport: WebSocket, ...credentials })
let opened = 0
let over = false
let ended = false
const watch = () => setTimeout(() => tell("after", opened), WATCHED)

const join = () => {
  const channel = socket.channel(topic, params)
  for (const event of ["response", "error", "chunk"]) channel.on(event, payload => {
    over ||= event === "response" && payload.status !== "ai_generated"
    tell(event, payload)
  })
  channel.onClose(() => tell("left", topic))
  channel.join()
    .receive("ok", () => tell("joined", topic))
    .receive("error", ({ reason }) => tell("refused", reason))
}

socket.onOpen(() => {
  tell("open", ++opened)
  if (again && !over) join()
  if (ended) watch()
})
socket.onClose(event => {
  tell("close", event.code)
  if (event.code === 1000) {
    ended = true
    watch()
  }
})
if (!again) join()
socket.connect()
process.stdin.on("end", () => process.exit(0)).resume()
