package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/dir"
	"doppel.live/internal/store/remote"
)

// How long a server has to answer.
const (
	tryTime     = 25 * time.Second // for all that is needed to use a place
	connectTime = 6 * time.Second  // to take one connection
)

// useRemote is Use for a URL.
func (s System) useRemote(ctx context.Context, spec string, cred remote.Credentials) (Chosen, error) {
	l, cred, err := parse(spec, cred)
	if err != nil {
		return Chosen{}, err
	}
	s.loadDriver(l.Scheme)
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if l.Scheme != remote.NFS && l.Scheme != remote.SMB {
		c, err := s.tryStore(ctx, l, cred)
		if err != nil {
			return Chosen{}, err
		}
		if err := s.Release(); err != nil {
			return Chosen{}, err
		}
		return c, s.writeRecord(useRecord, Record{c.Spec, cred, c.ReadOnly})
	}
	root, c, err := mountRemote(ctx, l, cred)
	if err != nil {
		return Chosen{}, err
	}
	defer root.Close()
	if err := s.replace(root); err != nil {
		return Chosen{}, err
	}
	if err := s.writeRecord(mountRecord, Record{URL: c.Spec}); err != nil {
		return Chosen{}, err
	}
	return s.chosen(c)
}

// Test tells what Use would find, and leaves the present place as it is.
func (s System) Test(ctx context.Context, spec string, cred remote.Credentials) (Chosen, error) {
	if !remote.Is(spec) {
		p, err := s.local(spec)
		if err != nil {
			return Chosen{}, err
		}
		root, advice, err := s.mount(p)
		if err != nil {
			return Chosen{}, err
		}
		defer root.Close()
		c := Chosen{Spec: p.Spec, ReadOnly: advice != "", Advice: advice}
		if c.ReadOnly {
			c.Reason = remote.ReadOnly
		}
		_, c.Free = space(procPath(root))
		return c, nil
	}
	l, cred, err := parse(spec, cred)
	if err != nil {
		return Chosen{}, err
	}
	s.loadDriver(l.Scheme)
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if l.Scheme != remote.NFS && l.Scheme != remote.SMB {
		return s.tryStore(ctx, l, cred)
	}
	root, c, err := mountRemote(ctx, l, cred)
	if err != nil {
		return Chosen{}, err
	}
	return c, root.Close()
}

// loadDriver loads what the kernel would look for while the server waits,
// which takes a slow machine longer than a server may take. What is not there
// the kernel knows by itself, or tells.
func (s System) loadDriver(scheme string) {
	if s.LoadModule == nil {
		return
	}
	for _, name := range map[string][]string{
		remote.NFS: {"nfs", "nfsv4", "nfsv3"},
		remote.SMB: {"cifs", "nls_utf8"}, // its ciphers come with it
	}[scheme] {
		_ = s.LoadModule(name)
	}
}

// parse reads a URL. What the credentials say holds before what it says.
func parse(spec string, cred remote.Credentials) (remote.Location, remote.Credentials, error) {
	l, password, err := remote.Parse(spec)
	if err != nil {
		return l, cred, err
	}
	if cred.Password.Empty() {
		cred.Password = password
	}
	if cred.User != "" {
		l.User = cred.User
	}
	if cred.Domain != "" {
		l.Domain = cred.Domain
	}
	return l, cred, nil
}

// tryStore opens a place by its URL and tries it.
func (s System) tryStore(ctx context.Context, l remote.Location, cred remote.Credentials) (Chosen, error) {
	if s.Open == nil {
		return Chosen{}, &remote.Error{Reason: remote.BadName, What: "places of the kind " + l.Scheme + " cannot be used here",
			Next: "Use a disk, nfs:// or smb://."}
	}
	st, err := s.Open(ctx, l, cred)
	if err != nil {
		return Chosen{}, err
	}
	if c, ok := st.(io.Closer); ok {
		defer c.Close()
	}
	return try(l, st)
}

// mountRemote mounts a place on a server, nowhere yet, and tries it. It takes
// no longer than ctx: a call that a silent server keeps in the kernel is left
// behind, and ends with the process.
func mountRemote(ctx context.Context, l remote.Location, cred remote.Credentials) (*os.File, Chosen, error) {
	server, err := reach(ctx, l)
	if err != nil {
		return nil, Chosen{}, err
	}
	type result struct {
		root *os.File
		c    Chosen
		err  error
	}
	done, given := make(chan result), make(chan struct{})
	defer close(given)
	go func() {
		root, c, err := mountAt(server, l, cred)
		select {
		case done <- result{root, c, err}:
		case <-given:
			if root != nil {
				root.Close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.root, r.c, r.err
	case <-ctx.Done():
		return nil, Chosen{}, &remote.Error{Reason: remote.NoRoute, What: l.Host + " took the connection, but does not answer", Err: ctx.Err(),
			Next: "Look whether the server is overloaded or a firewall stands between, then try again."}
	}
}

// mountAt mounts a place on a server that was reached, and tries it.
func mountAt(at server, l remote.Location, cred remote.Credentials) (*os.File, Chosen, error) {
	var root *os.File
	var err error
	if l.Scheme == remote.NFS {
		root, err = mountNFS(at, l)
	} else {
		root, err = mountSMB(at, l, cred)
	}
	if err != nil {
		return nil, Chosen{}, err
	}
	c, err := tryMount(root, l)
	if err != nil {
		root.Close()
		return nil, Chosen{}, err
	}
	return root, c, nil
}

// tryMount tries a place that is mounted. Where nothing can be written the
// mount says so from then on.
func tryMount(root *os.File, l remote.Location) (Chosen, error) {
	if info, err := root.Stat(); err == nil && !info.IsDir() {
		return Chosen{}, storeError(l, unix.ENOTDIR)
	}
	st, err := dir.Open(procPath(root))
	if err != nil {
		return Chosen{}, storeError(l, err)
	}
	defer st.Close()
	c, err := try(l, st)
	if err == nil && c.ReadOnly {
		err = forbidWriting(root)
	}
	return c, err
}

// server is one that took a connection.
type server struct {
	addr  netip.Addr
	local netip.Addr // of this machine, as the server sees it
	port  int        // that was reached
}

// reach finds the server's address and connects to it: what is wrong with the
// way there is told here, in words, and not by a number of the kernel's.
func reach(ctx context.Context, l remote.Location) (server, error) {
	addrs, err := lookup(ctx, l.Host)
	if err != nil {
		return server{}, err
	}
	var first error
	for _, addr := range addrs {
		for _, port := range ports(l) {
			d := net.Dialer{Timeout: connectTime}
			conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, uint16(port)).String())
			if err == nil {
				local := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
				conn.Close()
				return server{addr, local, port}, nil
			}
			if first == nil {
				first = reachError(l, port, err)
			}
			if !errors.Is(err, unix.ECONNREFUSED) {
				break // the same for every port
			}
		}
	}
	return server{}, first
}

// portmapper is where an NFS server of version 3 says which port it uses.
const portmapper = 111

// ports are where the service may be.
func ports(l remote.Location) []int {
	switch {
	case l.Port != 0:
		return []int{l.Port}
	case l.Scheme == remote.SMB:
		return []int{445}
	case l.Version == "3" || l.Version == "":
		return []int{2049, portmapper}
	}
	return []int{2049}
}

// lookup gives the addresses of a host, IPv4 first.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		e := &remote.Error{Reason: remote.UnknownName, What: fmt.Sprintf("there is no server of the name %s", host),
			Next: "Correct the name, or write the server's address instead."}
		if dns := (*net.DNSError)(nil); errors.As(err, &dns) && !dns.IsNotFound {
			e.What, e.Next = fmt.Sprintf("no name server tells the address of %s", host), "Write the server's address instead of its name, or look at the network: network status."
		}
		return nil, e
	}
	var v4, v6 []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	return append(v4, v6...), nil
}

// reachError says in words why a server cannot be connected to.
func reachError(l remote.Location, port int, err error) error {
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) {
		return &remote.Error{Reason: remote.Refused, What: fmt.Sprintf("%s is there, but nothing answers %s on its port %d", l.Host, l.Scheme, port),
			Next: "Start the service on the server, or correct the port or the kind of place."}
	}
	what := l.Host + " does not answer"
	if errors.Is(err, unix.ENETUNREACH) {
		what = "there is no way to " + l.Host + " from this machine's network"
	}
	return &remote.Error{Reason: remote.NoRoute, What: what,
		Next: "Look at the cable, the address and whether the server runs; network status tells this machine's own address."}
}
