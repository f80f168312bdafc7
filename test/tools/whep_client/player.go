package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

const h264, rtxOfH264 = 102, 103

// player is one session.
type player struct {
	options  *options
	pc       *webrtc.PeerConnection
	resource string
	answer   string
	began    time.Time
	playing  chan struct{}
	keySeen  sync.Once
	over     chan struct{}
	sound    atomic.Int64

	mutex  sync.Mutex
	frames *frames
}

func play(o *options) (*player, error) {
	api, err := makeAPI(o)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	p := &player{options: o, pc: pc, playing: make(chan struct{}), over: make(chan struct{}), began: time.Now()}
	failed := make(chan struct{}, 1)
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed {
			failed <- struct{}{}
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		// pion answers the sender's reports only when they are read.
		go func() {
			for {
				if _, _, err := receiver.ReadRTCP(); err != nil {
					return
				}
			}
		}()
		p.read(track)
	})
	kinds := []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}
	if o.audio {
		kinds = append(kinds, webrtc.RTPCodecTypeAudio)
	}
	for _, kind := range kinds {
		recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := pc.AddTransceiverFromKind(kind, recvonly); err != nil {
			return nil, err
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	<-gathered
	answer, resource, err := o.post(pc.LocalDescription().SDP)
	if err != nil {
		return nil, err
	}
	p.resource = resource
	if o.network.wanted() {
		if answer, err = o.network.insert(answer); err != nil {
			return nil, err
		}
	}
	p.answer = answer
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return nil, err
	}
	select {
	case <-p.playing:
		fmt.Println("playing", path.Base(resource))
		return p, nil
	case <-failed:
		return nil, errors.New("the connection failed before a key frame came")
	case <-time.After(20 * time.Second):
		return nil, fmt.Errorf("no key frame within 20 s; the connection is %s", pc.ConnectionState())
	}
}

func makeAPI(o *options) (*webrtc.API, error) {
	settings := webrtc.SettingEngine{}
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	switch o.srtp {
	case "gcm128":
		settings.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM)
	case "cm80":
		settings.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	default:
		return nil, fmt.Errorf("no SRTP profile %q", o.srtp)
	}
	media := &webrtc.MediaEngine{}
	add := func(kind webrtc.RTPCodecType, payloadType webrtc.PayloadType, codec webrtc.RTPCodecCapability) error {
		return media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: codec, PayloadType: payloadType}, kind)
	}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	problem := errors.Join(
		add(webrtc.RTPCodecTypeVideo, h264, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
			RTCPFeedback: feedback, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"}),
		add(webrtc.RTPCodecTypeAudio, 111, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}),
		add(webrtc.RTPCodecTypeAudio, 0, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}),
		add(webrtc.RTPCodecTypeAudio, 8, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000}))
	if o.rtx {
		problem = errors.Join(problem, add(webrtc.RTPCodecTypeVideo, rtxOfH264, webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", h264)}))
	}
	reports, err := report.NewReceiverInterceptor()
	if problem = errors.Join(problem, err); problem != nil {
		return nil, problem
	}
	interceptors := &interceptor.Registry{}
	interceptors.Add(reports)
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings)), nil
}

func (p *player) read(track *webrtc.TrackRemote) {
	if track.Kind() == webrtc.RTPCodecTypeAudio {
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
			p.sound.Add(1)
		}
	}
	p.mutex.Lock()
	p.frames = newFrames(p.began)
	p.mutex.Unlock()
	go p.repair(uint32(track.SSRC()))
	for {
		packet, attributes, err := track.ReadRTP()
		if err != nil {
			return
		}
		p.mutex.Lock()
		p.frames.add(packet, attributes != nil && attributes.Get(webrtc.AttributeRtxSsrc) != nil, time.Now())
		p.tellKey()
		p.mutex.Unlock()
	}
}

// tellKey tells of the first key frame; with the mutex.
func (p *player) tellKey() {
	if p.frames.Keys > 0 {
		p.keySeen.Do(func() { close(p.playing) })
	}
}

// repair asks for what is missing, or for far more than that.
func (p *player) repair(ssrc uint32) {
	const interval = 10 * time.Millisecond
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	flooded := 0.0
	for {
		select {
		case <-p.over:
			return
		case now := <-ticks.C:
			p.mutex.Lock()
			missing := p.frames.missing(now)
			p.tellKey() // what was given up may have held it back
			newest := p.frames.newest()
			p.mutex.Unlock()
			var nacks []rtcp.NackPair
			if p.options.repair {
				nacks = rtcp.NackPairsFromSequenceNumbers(missing)
			}
			for flooded += float64(p.options.flood) * interval.Seconds(); flooded >= 17; flooded -= 17 {
				newest -= 17
				nacks = append(nacks, rtcp.NackPair{PacketID: newest, LostPackets: 0xffff})
			}
			for len(nacks) > 0 {
				some := nacks[:min(len(nacks), 250)]
				nacks = nacks[len(some):]
				_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: ssrc, Nacks: some}})
			}
		}
	}
}

func (p *player) mark() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.frames.Mark = &counts{}
}

var (
	credential     = regexp.MustCompile(`a=ice-(ufrag|pwd):\S+`)
	ofTransport    = regexp.MustCompile(`(?m)^a=(ice-ufrag|ice-pwd|candidate):.*$`)
	mediaOfOffer   = regexp.MustCompile(`(?m)^m=.*$`)
	firstMediaName = regexp.MustCompile(`(?m)^a=mid:.*$`)
)

// restart goes on with new credentials and from new ports, in the same session.
func (p *player) restart() error {
	offer, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	sdp := p.pc.LocalDescription().SDP
	lines := []string{mediaOfOffer.FindString(sdp), firstMediaName.FindString(sdp)}
	lines = append(lines, ofTransport.FindAllString(sdp, -1)...)
	text := ""
	for _, line := range lines {
		text += strings.TrimSpace(line) + "\r\n"
	}
	theirs, err := p.options.fragment(p.resource, text)
	if err != nil {
		return err
	}
	fresh := map[string]string{}
	for _, line := range credential.FindAllString(theirs, -1) {
		fresh[line[:strings.Index(line, ":")]] = line
	}
	answer := credential.ReplaceAllStringFunc(p.answer, func(line string) string {
		return fresh[line[:strings.Index(line, ":")]]
	})
	return p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

func (p *player) close() {
	close(p.over)
	if response, err := p.options.request(http.MethodDelete, p.resource, "", ""); err == nil {
		response.Body.Close()
	}
	_ = p.pc.Close()
}

type summary struct {
	*frames
	Sound   int64 `json:"sound_packets"`
	Dropped int64 `json:"dropped_by_network"`
}

func (p *player) summary() summary {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return summary{p.frames, p.sound.Load(), p.options.network.dropped.Load()}
}
