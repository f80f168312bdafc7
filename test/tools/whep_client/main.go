// whep_client plays one camera of miharu with pion's WebRTC stack, over a network as bad as it is told to make, and says on
// one line of JSON what came. It says "playing" and its session when the first key frame is whole, reads commands from its standard input
// ("rate BITS", 0 for no limit; "mark", to count anew; "restart", of ICE), and ends with that or after -seconds.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type options struct {
	url     string
	bearer  string
	srtp    string
	seconds float64
	audio   bool
	rtx     bool
	repair  bool
	flood   int
	network network
}

func (o *options) request(method, url, contentType, body string) (*http.Response, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if o.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+o.bearer)
	}
	return http.DefaultClient.Do(request)
}

// fragment tells of new credentials, and gives the server's.
func (o *options) fragment(resource, fragment string) (string, error) {
	response, err := o.request(http.MethodPatch, resource, "application/trickle-ice-sdpfrag", fragment)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("PATCH: %s: %s", response.Status, body)
	}
	return string(body), err
}

func (o *options) post(offer string) (answer, resource string, err error) {
	response, err := o.request(http.MethodPost, o.url, "application/sdp", offer)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", "", err
	}
	if response.StatusCode != http.StatusCreated {
		return "", "", fmt.Errorf("POST: %s: %s", response.Status, body)
	}
	location, err := response.Location()
	if err != nil {
		return "", "", err
	}
	return string(body), location.String(), nil
}

func run() error {
	var o options
	flag.StringVar(&o.url, "url", "", "address of the WHEP endpoint")
	flag.StringVar(&o.bearer, "bearer", "", "token")
	flag.StringVar(&o.srtp, "srtp", "gcm128", "the only SRTP profile offered: gcm128 or cm80")
	flag.Float64Var(&o.seconds, "seconds", 60, "how long it plays at most")
	flag.BoolVar(&o.audio, "audio", false, "asks for sound too")
	flag.BoolVar(&o.rtx, "rtx", true, "offers retransmission by RFC 4588")
	flag.BoolVar(&o.repair, "nack", true, "asks for what was lost")
	flag.IntVar(&o.flood, "flood", 0, "asks for so many packets a second whether or not they were lost")
	flag.Float64Var(&o.network.drop, "drop", 0, "share of datagrams lost, each way")
	flag.Float64Var(&o.network.reorder, "reorder", 0, "share of datagrams that come 20 ms late, each way")
	flag.DurationVar(&o.network.delay, "delay", 0, "of every datagram, each way")
	rate := flag.Int64("rate", 0, "bits a second that reach the client, 0: all")
	flag.Parse()
	o.network.rate.Store(*rate)

	p, err := play(&o)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		commands := bufio.NewScanner(os.Stdin)
		for commands.Scan() {
			switch commands.Text() {
			case "mark":
				p.mark()
			case "restart":
				if err := p.restart(); err != nil {
					fmt.Fprintln(os.Stderr, "whep_client: restart:", err)
				}
			}
			if value, found := strings.CutPrefix(commands.Text(), "rate "); found {
				if bits, err := strconv.ParseInt(value, 10, 64); err == nil {
					o.network.rate.Store(bits)
				}
			}
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Duration(o.seconds * float64(time.Second))):
	}
	p.close()
	return json.NewEncoder(os.Stdout).Encode(p.summary())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "whep_client:", err)
		os.Exit(1)
	}
}
