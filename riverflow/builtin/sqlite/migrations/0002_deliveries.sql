-- Deliveries are listed: by time, by endpoint, and the dead ones. An attempt that ends well touches none of these indexes.

CREATE INDEX deliveries_by_time ON deliveries (project_id, created_at);
CREATE INDEX deliveries_of_endpoint ON deliveries (endpoint_id, created_at) WHERE endpoint_id IS NOT NULL;
CREATE INDEX deliveries_dead ON deliveries (project_id, created_at) WHERE status IN ('dead', 'expired');
