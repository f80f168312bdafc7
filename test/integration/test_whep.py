"""The signalling of live view, request by request: WHEP, POST /offer, the list of sessions (RFC 9725, draft-ietf-wish-whep)."""
import base64
import hashlib
import hmac
import json
import re
import time

import pytest

from harness import Miharu, demo_url
from whep import FRAGMENT, SDP, answered, ask, attribute, credentials, fragment, offer

SECRET = "north-remembers"
MAX_SESSIONS_OF_USER = 1000
STUN, TURN = "stun:127.0.0.1:9", "turn:turn.example.org:3478?transport=udp"
CANDIDATE = "a=candidate:1 1 udp 2130706431 127.0.0.1 {} typ host"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    live = f'[live]\nturn = {{ url = "{TURN}", secret = "${{TURN_SECRET}}" }}\n'
    with Miharu(tmp_path_factory.mktemp("whep"), {"front": demo_url(), "back": demo_url(audio=False)}, more=live,
                env={"TURN_SECRET": SECRET}) as running:
        running.all = running.token("*")
        running.front = running.token("front", "live")
        for camera in ("front", "back"):
            answered(running, camera, running.all)
        yield running


@pytest.fixture
def whep(server):
    def request(path, method="POST", body=None, token=server.all, **headers):
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return ask(server.address + path, method, body, **headers)
    return request


@pytest.fixture
def session(whep):
    made = whep("/whep/front", body=offer(ufrag="viewer"), Content_Type=SDP)
    assert made.status == 201, made.text
    yield made
    whep(made.headers["Location"], "DELETE")


def test_an_offer_is_answered(session):
    headers = session.headers
    assert headers.get_content_type() == SDP
    assert re.fullmatch(r"/whep/front/[A-Za-z0-9_-]{22}", headers["Location"])
    assert re.fullmatch(r'"[^"*]+"', headers["ETag"])
    assert headers["Accept-Patch"] == FRAGMENT
    assert headers["Cache-Control"] == "no-store"
    exposed = {name.strip() for name in headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {"Location", "ETag", "Link"}
    answer = session.text
    assert answer.startswith("v=0\r\n")
    assert "\r\na=ice-lite\r\n" in answer
    assert "\r\na=sendonly\r\n" in answer
    assert attribute(answer, "setup") == "passive"
    assert attribute(answer, "fingerprint").startswith("sha-256 ")
    assert attribute(answer, "rtpmap") == "102 H264/90000"
    assert "a=rtpmap:103 rtx/90000" in answer
    group = re.search(r"a=ssrc-group:FID (\d+) (\d+)", answer)
    assert f"a=ssrc:{group[1]} cname:" in answer


def test_what_turn_asks_for_is_made_for_an_hour_or_so(session):
    link = session.headers["Link"]
    found = re.fullmatch(r'<(.+)>; rel="ice-server"; username="(\d+):([\w.-]+)"; credential="(.+)"; credential-type="password"',
                         link)
    assert found, link
    url, expires, name, password = found.groups()
    assert url == TURN
    assert 60 <= int(expires) - time.time() <= 24 * 3600 + 60
    wanted = hmac.new(SECRET.encode(), f"{expires}:{name}".encode(), hashlib.sha1).digest()
    assert password == base64.b64encode(wanted).decode()


@pytest.mark.parametrize("path, body, content_type, status", [
    ("/whep/attic", offer(), SDP, 404),
    ("/whep/front", offer(["a=rtpmap:96 VP8/90000"]), SDP, 406),
    ("/whep/front", offer(["a=rtpmap:0 PCMU/8000"]).replace("m=video", "m=audio"), SDP, 406),
    ("/whep/front", offer(more=["a=x:" + "y" * 1000] * 70), SDP, 413),
    ("/whep/front", offer(), "application/json", 415),
    ("/whep/front", offer(), "", 415),
    ("/whep/front", "garbage", SDP, 400),
    ("/whep/front", "", SDP, 400),
    ("/whep/front", offer().replace("a=ice-pwd", "a=ice-pw"), SDP, 400),
    ("/whep/front", offer().replace("a=fingerprint", "a=finger"), SDP, 400),
])
def test_offers_that_cannot_be_answered(server, whep, path, body, content_type, status):
    before = len(server.api("/sessions"))
    reply = whep(path, body=body, Content_Type=content_type)
    assert reply.status == status, reply.text
    assert json.loads(reply.text)["status"] == status
    assert reply.headers["Location"] is None
    if status == 415:
        assert reply.headers["Accept-Post"] == SDP
    assert len(server.api("/sessions")) == before


def test_nothing_of_an_offer_comes_back_as_it_is(whep):
    reply = whep("/whep/front", body=offer(more=["a=tool:<script>alert(1)</script>"]), Content_Type=SDP)
    assert reply.status == 201
    assert "script" not in reply.text
    whep(reply.headers["Location"], "DELETE")


def test_options(whep):
    reply = whep("/whep/front", "OPTIONS")
    assert reply.status == 204
    assert reply.headers["Allow"] == "OPTIONS, POST"
    assert reply.headers["Accept-Post"] == SDP
    assert TURN in reply.headers["Link"]
    assert whep("/whep/attic", "OPTIONS").status == 404


def test_other_methods(whep, session):
    for method in ("GET", "PUT"):
        reply = whep("/whep/front", method)
        assert (reply.status, reply.headers["Allow"]) == (405, "OPTIONS, POST")
        reply = whep(session.headers["Location"], method)
        assert (reply.status, reply.headers["Allow"]) == (405, "DELETE, PATCH")


def test_candidates_trickle(whep, session):
    at = session.headers["Location"]
    ice = ["a=ice-ufrag:viewer", "a=ice-pwd:" + "p" * 24]

    def patch(body, content_type=FRAGMENT, **headers):
        return whep(at, "PATCH", body, Content_Type=content_type, **headers)
    for port in (5001, 5002):
        reply = patch(fragment(ice, [CANDIDATE.format(port)]), If_Match=session.headers["ETag"])
        assert (reply.status, reply.text) == (204, "")
    assert patch(fragment(ice, ["a=end-of-candidates"])).status == 204
    assert patch(fragment(ice, [CANDIDATE.format(5003)]), If_Match='"another"').status == 412
    assert patch(fragment(ice), SDP).status == 415
    assert patch(fragment(ice), SDP).headers["Accept-Patch"] == FRAGMENT
    assert patch("garbage").status == 400
    assert patch(fragment(ice, [CANDIDATE.format(70000)] * 2000)).status == 413
    assert whep(at.replace("front", "back"), "PATCH", fragment(ice), Content_Type=FRAGMENT).status == 404
    assert whep("/whep/front/" + "A" * 22, "PATCH", fragment(ice), Content_Type=FRAGMENT).status == 404


@pytest.mark.parametrize("star", ["*", '"*"'])
def test_a_restart_has_new_credentials_and_a_new_tag(whep, session, star):
    at, old = session.headers["Location"], session.headers["ETag"]
    reply = whep(at, "PATCH", fragment(credentials()), Content_Type=FRAGMENT, If_Match=star)
    assert reply.status == 200, reply.text
    assert reply.headers.get_content_type() == FRAGMENT
    new = reply.headers["ETag"]
    assert re.fullmatch(r'"[^"*]+"', new) and new != old
    assert attribute(reply.text, "ice-ufrag") != attribute(session.text, "ice-ufrag")
    assert attribute(reply.text, "ice-pwd") != attribute(session.text, "ice-pwd")
    assert "a=candidate:" in reply.text
    assert whep(at, "PATCH", fragment(credentials()), Content_Type=FRAGMENT, If_Match=old).status == 412
    assert whep(at, "PATCH", fragment(credentials()), Content_Type=FRAGMENT, If_Match=new).status == 200


def test_what_was_ended_is_gone(server, whep):
    at = whep("/whep/front", body=offer(), Content_Type=SDP).headers["Location"]
    assert whep(at.replace("front", "back"), "DELETE").status == 404
    assert whep(at, "DELETE").status == 200
    assert whep(at, "DELETE").status == 404
    assert whep(at, "PATCH", fragment(credentials()), Content_Type=FRAGMENT).status == 404
    assert at.rsplit("/", 1)[1] not in {each["id"] for each in server.api("/sessions")}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("camera", [None, "back"])
def test_offers_in_json(server, whep, wrapped, camera):
    known = {each["id"] for each in server.api("/sessions")}
    description = {"sdp": offer(), "type": "offer"}
    body = {"sdp": description} if wrapped else dict(description)
    if camera:
        body["camera"] = camera
    reply = whep("/offer", body=json.dumps(body), Content_Type="application/json")
    assert reply.status == 200, reply.text
    answer = json.loads(reply.text)
    assert set(answer) == {"sdp", "type"} and answer["type"] == "answer"
    assert attribute(answer["sdp"], "setup") == "passive"
    made = [each for each in server.api("/sessions") if each["id"] not in known]
    # Without a name it is the first camera that may be watched.
    first = server.api("/cameras")["cameras"][0]["name"]
    assert [each["camera"] for each in made] == [camera or first]
    assert whep("/api/v1/sessions/" + made[0]["id"], "DELETE").status == 204


@pytest.mark.parametrize("body, status", [
    ("{", 400), ("[]", 400), ('{"sdp": 1}', 400), (json.dumps({"sdp": offer(), "type": "answer"}), 400),
    (json.dumps({"sdp": offer(), "type": "offer", "camera": "attic"}), 404),
    (json.dumps({"sdp": offer(["a=rtpmap:96 VP8/90000"]), "type": "offer"}), 406),
    (json.dumps({"sdp": "x" * 70000, "type": "offer"}), 413)])
def test_json_that_is_no_offer(whep, body, status):
    assert whep("/offer", body=body, Content_Type="application/json").status == status


def test_sessions_are_listed_and_ended(server, whep):
    def listed(token):
        return json.loads(whep("/api/v1/sessions", "GET", token=token).text)
    at = whep("/whep/front", body=offer(), Content_Type=SDP).headers["Location"]
    session = at.rsplit("/", 1)[1]
    about = next(each for each in server.api("/sessions") if each["id"] == session)
    assert about["camera"] == "front" and about["state"] == "connecting" and about["user"].startswith("token:")
    # Somebody else may see that the camera is watched, and neither by whom nor how to end it.
    for each in listed(server.front):
        assert each["camera"] == "front" and not {"id", "user", "remote"} & set(each)
    assert whep("/api/v1/sessions/" + session, "DELETE", token=server.front).status == 403
    assert whep("/api/v1/sessions/" + session, "DELETE", token=None).status == 401
    assert whep("/api/v1/sessions/" + session, "DELETE").status == 204
    assert whep("/api/v1/sessions/" + session, "DELETE").status == 404
    assert whep(at, "DELETE").status == 404


def test_credentials_are_asked_for(server, whep):
    at = whep("/whep/front", body=offer(), Content_Type=SDP, token=server.front).headers["Location"]
    for path, method, content_type, body in [
            ("/whep/front", "POST", SDP, offer()), ("/whep/front", "OPTIONS", "", None), (at, "PATCH", FRAGMENT, fragment([])),
            (at, "DELETE", "", None), ("/offer", "POST", "application/json", json.dumps({"sdp": offer()})),
            ("/api/v1/sessions", "GET", "", None)]:
        for token in (None, "wrong"):
            assert whep(path, method, body, token, Content_Type=content_type).status == 401, (path, method, token)
    # Those for another camera, and those without the right to what is live.
    assert whep("/whep/back", body=offer(), Content_Type=SDP, token=server.front).status == 403
    in_json = json.dumps({"sdp": offer(), "camera": "back"})
    assert whep("/offer", body=in_json, Content_Type="application/json", token=server.front).status == 403
    past = server.token("front", "playback")
    assert whep("/whep/front", body=offer(), Content_Type=SDP, token=past).status == 403
    assert whep(at, "DELETE", token=server.front).status == 200


def test_a_user_has_so_many_sessions_and_others_have_theirs(server, tmp_path):
    """docs/limits.md. On a miharu of its own, since the sessions stay for 30 s."""
    with Miharu(tmp_path, {"front": demo_url()}) as crowded:
        greedy, modest = crowded.token("front", "live"), crowded.token("front", "live")
        answered(crowded, "front", modest)
        wanted = offer()

        def post(token):
            return ask(crowded.address + "/whep/front", "POST", wanted, Content_Type=SDP, Authorization=f"Bearer {token}")
        made = [post(greedy) for _ in range(MAX_SESSIONS_OF_USER)]
        assert {each.status for each in made} == {201}
        refused = post(greedy)
        assert refused.status == 429 and int(refused.headers["Retry-After"]) > 0
        assert f"{MAX_SESSIONS_OF_USER} live views" in json.loads(refused.text)["detail"]
        in_json = ask(crowded.address + "/offer", "POST", json.dumps({"sdp": wanted}), Content_Type="application/json",
                      Authorization=f"Bearer {greedy}")
        assert in_json.status == 429 and int(in_json.headers["Retry-After"]) > 0
        assert post(modest).status == 201
        told = crowded.request("/metrics")[2].decode()
        assert 'miharu_live_sessions_refused_total{limit="user"} 2\n' in told
        assert f'miharu_live_viewers{{camera="front",state="connecting"}} {MAX_SESSIONS_OF_USER + 1}\n' in told
        # One that leaves makes room for one.
        assert ask(crowded.address + made[0].headers["Location"], "DELETE", Authorization=f"Bearer {greedy}").status == 200
        assert post(greedy).status == 201
        assert post(greedy).status == 429


def test_the_token_may_stand_in_the_path(server, whep):
    path = f"/t/{server.front}/whep/front"
    reply = whep(path, body=offer(), Content_Type=SDP, token=None)
    assert reply.status == 201
    at = reply.headers["Location"]
    assert at.startswith(path + "/")
    assert whep(at, "DELETE", token=None).status == 200


def test_who_has_signed_in_needs_no_token(server, whep):
    """As the page does it, and not from another site's page."""
    signed_in = ask(server.address + "/api/v1/session", "POST", json.dumps({"user": "admin", "password": server.password}),
                    Content_Type="application/json")
    cookie = signed_in.headers["Set-Cookie"].split(";")[0]
    reply = whep("/whep/front", body=offer(), Content_Type=SDP, token=None, Cookie=cookie)
    assert reply.status == 201, reply.text
    at = reply.headers["Location"]
    listed = server.api("/sessions")
    assert [each["user"] for each in listed if at.endswith(each["id"])] == ["admin"]
    foreign = whep("/whep/front", body=offer(), Content_Type=SDP, token=None, Cookie=cookie, Origin="https://example.org",
                   Sec_Fetch_Site="cross-site")
    assert foreign.status == 403
    assert whep(at, "DELETE", token=None, Cookie=cookie).status == 200
