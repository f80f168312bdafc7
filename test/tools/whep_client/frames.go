package main

import (
	"bytes"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// A packet that has not come after this time is given up: after some ten requests, as browsers do. With fewer, bad luck alone
// (a tenth of the requests on a line that loses 5 % each way) would cost a picture in every tenth run.
const patience = 3 * time.Second

// How long it waits before it asks for the first time (the network may have changed the order) and again.
const askAfter, askAgain = 30 * time.Millisecond, 250 * time.Millisecond

type waiting struct {
	since, asked time.Time
}

type counts struct {
	Frames    int `json:"frames"`
	Decodable int `json:"decodable"`
}

// frames puts packets in order and judges the pictures that they make: one is decodable when it is whole, and so are those
// before it since its key frame.
type frames struct {
	Packets   int     `json:"packets"`
	Repaired  int     `json:"repaired"` // by RTX or by the same packet again
	ByRTX     int     `json:"by_rtx"`
	RTXBytes  int     `json:"rtx_bytes"`
	Twice     int     `json:"twice"`
	Missing   int     `json:"missing"` // never came
	Asked     int     `json:"asked"`
	Frames    int     `json:"frames"`
	Keys      int     `json:"key_frames"`
	Decodable int     `json:"decodable"`
	Bad       int     `json:"bad"` // what could not be depacketized
	FirstMs   float64 `json:"first_key_ms"`
	MaxGapMs  float64 `json:"max_gap_ms"` // between pictures that can be shown
	SpanMs    float64 `json:"span_ms"`    // from the first of them to the last

	// Of those that began after "mark".
	Mark *counts `json:"since_mark,omitempty"`

	began, first, last time.Time
	next               int64 // to be taken
	top                int64 // newest that came
	held               map[int64]*rtp.Packet
	lost               map[int64]*waiting
	parser             codecs.H264Packet
	picture            []byte
	whole, chain       bool
	timestamp          uint32
	started            bool
}

func newFrames(began time.Time) *frames {
	return &frames{began: began, held: map[int64]*rtp.Packet{}, lost: map[int64]*waiting{}, next: -1}
}

func (f *frames) newest() uint16 { return uint16(f.top) }

func (f *frames) add(packet *rtp.Packet, byRTX bool, now time.Time) {
	f.Packets++
	if len(packet.Payload) == 0 {
		f.Bad++
		return
	}
	if f.next < 0 {
		f.next = int64(packet.SequenceNumber) + 1<<16
		f.top = f.next - 1
	}
	number := f.top + int64(int16(packet.SequenceNumber-uint16(f.top)))
	if byRTX {
		f.ByRTX++
		f.RTXBytes += len(packet.Payload)
	}
	if number < f.next || f.held[number] != nil {
		f.Twice++
		return
	}
	for each := f.top + 1; each < number; each++ {
		f.lost[each] = &waiting{since: now}
	}
	if missing := f.lost[number]; missing != nil {
		if !missing.asked.IsZero() {
			f.Repaired++
		}
		delete(f.lost, number)
	}
	f.top = max(f.top, number)
	f.held[number] = packet
	f.take(now)
}

// missing gives what to ask for now.
func (f *frames) missing(now time.Time) []uint16 {
	f.take(now)
	var numbers []uint16
	for number := f.next; number <= f.top; number++ {
		each := f.lost[number]
		if each == nil || now.Sub(each.since) < askAfter || now.Sub(each.asked) < askAgain {
			continue
		}
		each.asked = now
		numbers = append(numbers, uint16(number))
	}
	f.Asked += len(numbers)
	return numbers
}

func (f *frames) take(now time.Time) {
	for f.next <= f.top {
		packet := f.held[f.next]
		if packet == nil {
			if each := f.lost[f.next]; each != nil && now.Sub(each.since) < patience {
				return
			}
			f.Missing++
			f.whole = false
		} else {
			f.depacketize(packet, now)
		}
		delete(f.held, f.next)
		delete(f.lost, f.next)
		f.next++
	}
}

func (f *frames) depacketize(packet *rtp.Packet, now time.Time) {
	if !f.started || packet.Timestamp != f.timestamp {
		if f.started && f.picture != nil {
			// Its last packet never came.
			f.finish(false, now)
		}
		// After a loss it is not known where this picture began, unless that shows.
		f.whole = f.whole || f.parser.IsPartitionHead(packet.Payload)
		f.timestamp, f.started, f.picture = packet.Timestamp, true, []byte{}
	}
	nals, err := f.parser.Unmarshal(packet.Payload)
	if err != nil {
		f.Bad++
		f.whole = false
	}
	f.picture = append(f.picture, nals...)
	if packet.Marker {
		f.finish(f.whole, now)
		f.picture, f.whole = nil, true
	}
}

func (f *frames) finish(whole bool, now time.Time) {
	f.Frames++
	key := bytes.Contains(f.picture, []byte{0, 0, 1, 0x65})
	if whole && key {
		f.Keys++
	}
	f.chain = whole && (f.chain || key)
	if f.Mark != nil {
		f.Mark.Frames++
	}
	if !f.chain {
		return
	}
	f.Decodable++
	if f.Mark != nil {
		f.Mark.Decodable++
	}
	if f.first.IsZero() {
		f.first = now
		f.FirstMs = now.Sub(f.began).Seconds() * 1000
	} else {
		f.MaxGapMs = max(f.MaxGapMs, now.Sub(f.last).Seconds()*1000)
	}
	f.last = now
	f.SpanMs = now.Sub(f.first).Seconds() * 1000
}
