package graceful

import "net"

// acceptWaiting is not needed where nothing is supervised.
func acceptWaiting(net.Listener) (net.Conn, error) { return nil, errEmpty }
