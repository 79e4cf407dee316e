package reflection

// The messages of the protocol, for a client.
var (
	RequestType  = requestType
	ResponseType = responseType
)
