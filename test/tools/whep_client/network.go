package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

// What a slow line holds before it drops.
const queueTime = 200 * time.Millisecond

const lateness = 20 * time.Millisecond

// network lies between the client and the server: the client is told its address instead of the server's.
type network struct {
	drop    float64
	reorder float64
	delay   time.Duration
	rate    atomic.Int64

	dropped atomic.Int64 // towards the client

	mutex  sync.Mutex
	client *net.UDPAddr
	free   time.Time // when the slow line has sent what it holds
}

func (n *network) wanted() bool {
	return n.drop > 0 || n.reorder > 0 || n.delay > 0 || n.rate.Load() > 0
}

var candidate = regexp.MustCompile(`(a=candidate:\S+ \d+ udp \d+) (\S+) (\d+) typ host`)

// insert gives the answer with the network's own address in place of the server's.
func (n *network) insert(answer string) (string, error) {
	found := candidate.FindStringSubmatch(answer)
	if found == nil {
		return "", fmt.Errorf("the answer has no candidate:\n%s", answer)
	}
	server, err := net.ResolveUDPAddr("udp4", net.JoinHostPort(found[2], found[3]))
	if err != nil {
		return "", err
	}
	near, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	far, err := net.DialUDP("udp4", nil, server)
	if err != nil {
		return "", err
	}
	for _, conn := range []*net.UDPConn{near, far} {
		_ = conn.SetReadBuffer(4 << 20)
	}
	go n.carry(near, false, func(data []byte) { _, _ = far.Write(data) })
	go n.carry(far, true, func(data []byte) {
		n.mutex.Lock()
		client := n.client
		n.mutex.Unlock()
		if client != nil {
			_, _ = near.WriteToUDP(data, client)
		}
	})
	port := near.LocalAddr().(*net.UDPAddr).Port
	return candidate.ReplaceAllString(answer, fmt.Sprintf("$1 127.0.0.1 %d typ host", port)), nil
}

type flying struct {
	due  time.Time
	data []byte
}

func (n *network) carry(from *net.UDPConn, toClient bool, send func([]byte)) {
	inOrder, late := make(chan flying, 1<<14), make(chan flying, 1<<14)
	for _, queue := range []chan flying{inOrder, late} {
		go func() {
			for each := range queue {
				time.Sleep(time.Until(each.due))
				send(each.data)
			}
		}()
	}
	buffer := make([]byte, 2048)
	for {
		size, source, err := from.ReadFromUDP(buffer)
		if err != nil {
			continue // refused for a moment
		}
		if !toClient {
			n.mutex.Lock()
			n.client = source
			n.mutex.Unlock()
		}
		due := time.Now().Add(n.delay)
		if toClient && !n.pass(size, &due) || rand.Float64() < n.drop {
			if toClient {
				n.dropped.Add(1)
			}
			continue
		}
		data := append([]byte(nil), buffer[:size]...)
		if rand.Float64() < n.reorder {
			late <- flying{due.Add(lateness), data}
		} else {
			inOrder <- flying{due, data}
		}
	}
}

// pass lets a datagram wait its turn on a slow line, or tells that it does not fit in the queue.
func (n *network) pass(size int, due *time.Time) bool {
	rate := n.rate.Load()
	if rate == 0 {
		return true
	}
	now := time.Now()
	if n.free.Before(now) {
		n.free = now
	}
	if n.free.Sub(now) > queueTime {
		return false
	}
	n.free = n.free.Add(time.Duration(float64(size*8) / float64(rate) * float64(time.Second)))
	*due = due.Add(n.free.Sub(now))
	return true
}
