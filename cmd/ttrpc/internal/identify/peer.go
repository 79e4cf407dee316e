package identify

// A Process is that which listened on a socket when its connection was made.
type Process struct {
	PID     int    `json:"pid"` // 0 for one of another pid namespace
	UID     int    `json:"uid"`
	GID     int    `json:"gid"`
	Command string `json:"command,omitempty"` // "" if it is not known
	User    string `json:"user,omitempty"`
}
