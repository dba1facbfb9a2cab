// Connects as ModelRiver's browser client does and prints what it sees, one JSON value a line.
// Usage: node client.mjs '{"url", "token", "topic", "auth": "query" | "protocol", "params", "again": bool}'
// `again`: make a second channel of the same topic on each reconnect, as client 1.3.9 does.
import { Socket } from "phoenix"
import WebSocket from "ws"

const { url, token, topic, auth = "query", params = {}, again = false } = JSON.parse(process.argv[2])
const tell = (type, value) => process.stdout.write(JSON.stringify([type, value]) + "\n")

const credentials = auth === "query" ? { params: { token } } : { authToken: token }
const socket = new Socket(url, { transport: WebSocket, ...credentials })

const join = () => {
  const channel = socket.channel(topic, params)
  for (const event of ["response", "error", "chunk"]) channel.on(event, payload => tell(event, payload))
  channel.join()
    .receive("ok", () => tell("joined", topic))
    .receive("error", ({ reason }) => tell("refused", reason))
}

join()
let opened = 0
socket.onOpen(() => {
  tell("open", ++opened)
  if (again && opened > 1) join()
})
socket.onClose(event => {
  tell("close", event.code)
  if (event.code === 1000) setTimeout(() => { tell("quiet", socket.isConnected()); process.exit(0) }, 300)
})
socket.connect()
process.stdin.on("end", () => process.exit(0)).resume()
