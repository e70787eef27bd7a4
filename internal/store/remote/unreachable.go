package remote

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Unreachable explains why no connection to a host could be made; nil if err
// is of another kind.
func Unreachable(err error, host string) *Error {
	var name *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return &Error{Reason: UnknownName, What: fmt.Sprintf("no server is called %s", host), Next: "Check its name, or write its address."}
	case errors.As(err, &name):
		return &Error{Reason: NoRoute, What: fmt.Sprintf("the name %s cannot be looked up", host), Next: "Check the network and its name server, or write the address of the server.", Err: err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Reason: Refused, What: host + " is there, but the service is not", Next: "Start the service at the server, or check the port."}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN):
		return &Error{Reason: NoRoute, What: "there is no way to " + host, Next: "Check the cable and the network, and the address of the server.", Err: err}
	case errors.As(err, &network) && network.Timeout():
		return &Error{Reason: NoRoute, What: host + " does not answer", Next: "Check that it runs, its address, and the firewalls on the way."}
	}
	return nil
}
