package supervise

import (
	"net"
	"os"
	"strconv"
)

// notifySocket is where a service manager listens for the state of a service.
const notifySocket = "NOTIFY_SOCKET"

// Notify tells the service manager (systemd's sd_notify) the state of the
// service; without a manager that wants to know it does nothing.
func Notify(state string) {
	path := os.Getenv(notifySocket)
	if path == "" {
		return
	}
	if path[0] == '@' { // an abstract socket
		path = "\x00" + path[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}

// NotifyReady says that requests are served; or again, after NotifyReloading.
func NotifyReady() { Notify("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid())) }

// NotifyReloading says that the configuration is being read anew.
func NotifyReloading() {
	Notify("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonicMicros(), 10))
}

// NotifyStopping says that the service drains.
func NotifyStopping() { Notify("STOPPING=1") }
