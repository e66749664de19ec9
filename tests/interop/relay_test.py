"""The relay as its users meet it: clients in front, next hops behind, an operator at its side."""
import json
import os
import pathlib
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

import pytest

from lab import PROGRAM, Dns, Relay, Sink, free_port, wait_until

OFFICE = "network office 127.0.0.0/8;\nrelay { allow from office; }\n"
QUICK = "queue { retry 1s; lifetime 1h; }\ndeliver { allow-local yes; }\n"
MESSAGE = b"From: <a@sender.example>\r\nTo: <b@dest.example>\r\nSubject: hello\r\n\r\nhi\r\n.\r\n..\r\nbye\r\n"


def to_sink(sink, extra=""):
    return OFFICE + QUICK + f"route smtp 127.0.0.1:{sink.port};\n" + extra


def send(relay, recipients=("b@dest.example",), content=MESSAGE, sender="a@sender.example",
         options=()):
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example", timeout=20) as client:
        return client.sendmail(sender, list(recipients), content, list(options))


def without_trace(content):
    """The content below the one Received field that the relay put on top."""
    lines = content.split(b"\r\n")
    assert lines[0].startswith(b"Received: "), lines[0]
    rest = 1
    while lines[rest][:1] in (b" ", b"\t"):
        rest += 1
    return b"\r\n".join(lines[rest:])


def test_message_arrives_octet_for_octet():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        send(relay)
        sender, recipients, content = sink.wait(1)[0]
        assert sender.startswith("MAIL FROM:<a@sender.example>")
        assert recipients == ("RCPT TO:<b@dest.example>",)
        assert without_trace(content) == MESSAGE
        relay.wait_empty()


def test_one_id_from_first_to_last_line():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        send(relay)
        sink.wait(1)
        wait_until(lambda: relay.log_lines(" delivered "), what="the log says delivered")
        received, = relay.log_lines(" received ")
        identity = [word for word in received.split() if word.startswith("id=")][0]
        assert len(relay.log_lines(identity + r"\b")) >= 3


def test_refused_recipient_is_logged_with_its_rule():
    config = ("network office 192.0.2.0/24;\ndomain ours dest.example;\n"
              "relay { refuse to stranger.example reply 550 5.7.1 \"not for us\"; allow to ours; }\n")
    with Relay(config + QUICK) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port) as client:
            client.ehlo("c.example")
            client.mail("a@b.example")
            assert client.rcpt("x@stranger.example") == (550, b"5.7.1 not for us")
            assert client.rcpt("x@elsewhere.example")[0] == 550
            assert client.rcpt("x@dest.example")[0] == 250
        lines = wait_until(lambda: len(relay.log_lines(" refused ")) == 2 and
                           relay.log_lines(" refused "), what="both refusals are logged")
        assert f"rule={relay.path}:6" in lines[0]


def test_bounce_reaches_the_sender():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        send(relay, ["reject@dest.example"])
        sender, recipients, content = sink.wait(1)[0]
        assert sender.startswith("MAIL FROM:<>")
        assert recipients[0].startswith("RCPT TO:<a@sender.example>")
        assert b"multipart/report" in content and b"no such user here" in content
        relay.wait_empty()


def test_deferred_then_operator_removes():
    with Sink() as sink, Relay(OFFICE + f"route smtp 127.0.0.1:{sink.port};\n"
                               "deliver { allow-local yes; }\n") as relay:
        send(relay, ["defer@dest.example", "fine@dest.example"])
        sink.wait(1)
        entry, = wait_until(lambda: relay.queue("--state", "deferred"), what="one is deferred")
        assert entry["recipient"] == "defer@dest.example"
        assert "come back later" in entry["reply"]
        assert relay.queue("--domain", "other.example") == []
        shown = relay.command("queue", "show", entry["id"], "--json").stdout.splitlines()
        assert json.loads(shown[0])["open"] == 1
        relay.command("queue", "hold", entry["id"])
        assert relay.queue("--state", "held")
        relay.command("queue", "release", "--recipient", "@dest.example")
        wait_until(lambda: relay.queue("--state", "deferred"), what="it is deferred again")
        relay.command("queue", "remove", "--sender", "a@sender.example")
        relay.wait_empty()
        assert len(sink.messages) == 1  # nobody was told


def test_flush_by_destination():
    port = free_port()
    with Relay(OFFICE + f"route smtp 127.0.0.1:{port};\ndeliver {{ allow-local yes; }}\n") as relay:
        send(relay)
        wait_until(lambda: relay.queue("--state", "deferred"), what="the dead hop defers")
        relay.command("queue", "retry", "--all")
        assert relay.queue()


def test_lmtp_over_unix_socket_replies_per_recipient():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "lmtp")
    with Sink(lmtp=True, path=path) as sink:
        with Relay(OFFICE + QUICK + f"route lmtp unix:{path};\n") as relay:
            send(relay, ["one@dest.example", "two@dest.example", "reject@dest.example"])
            sink.wait(1)
            wait_until(lambda: len(relay.log_lines(" delivered ")) >= 2, what="two are delivered")
            assert len(relay.log_lines(" failed ")) == 1


def test_mx_is_asked_and_preferred():
    with Sink() as sink, Dns({("dest.example", "MX"): ["10 mx.dest.example"],
                              ("mx.dest.example", "A"): ["127.0.0.1"]}) as dns:
        with Relay(OFFICE + f"queue {{ retry 1s; }}\ndeliver {{ allow-local yes; port {sink.port}; }}\n"
                   f"resolver {{ forward 127.0.0.1:{dns.port}; trust-anchor none; }}\n") as relay:
            send(relay)
            assert without_trace(sink.wait(1)[0][2]) == MESSAGE


def test_unknown_domain_bounces():
    with Sink() as sink, Dns({("x.example", "A"): ["127.0.0.1"]}) as dns:
        with Relay(OFFICE + QUICK + "domain home sender.example;\n"
                   f"route to home smtp 127.0.0.1:{sink.port};\n"
                   f"resolver {{ forward 127.0.0.1:{dns.port}; trust-anchor none; }}\n") as relay:
            send(relay, ["b@nowhere.example"])
            assert b"5.1.2" in sink.wait(1)[0][2]


def test_reload_changes_the_policy_and_drops_no_session():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port) as old:
            old.ehlo("c.example")
            relay.write("relay { refuse from 127.0.0.0/8; }\n" + QUICK +
                        f"route smtp 127.0.0.1:{sink.port};\n")
            relay.command("reload")
            wait_until(lambda: relay.log_lines(" reloaded "), what="it is reloaded")
            assert old.sendmail("a@sender.example", ["b@dest.example"], MESSAGE) == {}
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                send(relay)
        assert len(sink.wait(1)) == 1


def test_bad_file_changes_nothing():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        relay.write("relay { allow from ofice; }\n")
        os.kill(relay.process.pid, signal.SIGHUP)
        wait_until(lambda: relay.log_lines("not reloaded"), what="the refusal is logged")
        assert "unknown" in relay.log_text() and "ofice" in relay.log_text()
        send(relay)
        sink.wait(1)


def test_graceful_stop_finishes_the_transaction():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        client = smtplib.SMTP("127.0.0.1", relay.port)
        client.ehlo("c.example")
        client.mail("a@sender.example")
        client.rcpt("b@dest.example")
        assert client.docmd("DATA")[0] == 354
        relay.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        client.send(MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        assert client.getreply()[0] == 250
        assert relay.process.wait(30) == 0
        client.close()
        relay.start()
        sink.wait(1)


def test_worker_is_started_again():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        pid = relay.worker_pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: relay.worker_pid() not in (None, pid), what="a new worker")
        relay.wait_ready()
        send(relay)
        sink.wait(1)


def test_service_manager_is_told():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, Sink() as sink:
        manager.bind(path)
        manager.settimeout(10)
        with Relay(to_sink(sink), environment={"NOTIFY_SOCKET": path}):
            assert b"READY=1" in manager.recv(1000)
        assert b"STOPPING=1" in manager.recv(1000)


def test_socket_activation():
    with Sink() as sink, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(10)
        relay = Relay(to_sink(sink))
        relay.port = listening.getsockname()[1]
        relay.write(to_sink(sink))
        script = f'exec 3<&{listening.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "{PROGRAM}" serve -c "{relay.path}"'
        with open(relay.log_path, "ab") as log:
            relay.process = subprocess.Popen(["bash", "-c", script], stderr=log,
                                             pass_fds=[listening.fileno()])
        try:
            relay.wait_ready()
            send(relay)
            sink.wait(1)
        finally:
            relay.stop()


def test_check_says_where_and_what():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "bad.conf")
        path.write_text("hostname relay.example;\nspool /tmp/x;\nlisten smtp 127.0.0.1:2525;\n"
                        "network office 192.0.2.0/24;\nrelay { allow from ofice; }\n")
        result = subprocess.run([PROGRAM, "check", "-c", path], capture_output=True, text=True)
        assert result.returncode == 1
        assert f"{path}:5:20: error:" in result.stderr
        assert 'did you mean "office" (line 4)?' in result.stderr


def test_json_log_is_json():
    with Sink() as sink, Relay(to_sink(sink, "log json;\n")) as relay:
        send(relay)
        sink.wait(1)
        wait_until(lambda: '"delivered"' in relay.log_text(), what="the log says delivered")
        events = [json.loads(line)["event"] for line in relay.log_text().splitlines()]
        assert {"received", "queued", "delivered"} <= set(events)


def test_proxy_header_is_taken_from_listed_proxies_only():
    config = ("network office 203.0.113.0/24;\nnetwork balancer 127.0.0.1;\n"
              "listen smtp 127.0.0.1:{} proxies balancer;\nrelay {{ allow from office; }}\n")
    port = free_port()
    with Sink() as sink:
        with Relay(config.format(port) + QUICK + f"route smtp 127.0.0.1:{sink.port};\n") as relay:
            def talk(where, header):
                with socket.create_connection(("127.0.0.1", where), 10) as client:
                    client.sendall(header)
                    file = client.makefile("rb")
                    if not file.readline().startswith(b"220"):
                        return None
                    for line in (b"EHLO c.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"):
                        client.sendall(line + b"\r\n")
                        while (reply := file.readline())[3:4] == b"-":
                            pass
                    return reply[:3]
            header = b"PROXY TCP4 203.0.113.7 192.0.2.1 1000 25\r\n"
            assert talk(port, header) == b"250"
            assert talk(port, header.replace(b"203.0.113.7", b"198.51.100.1")) == b"550"
            with socket.create_connection(("127.0.0.1", relay.port), 10) as stranger:
                stranger.sendall(header)
                replies = b""
                while b"\n5" not in b"\n" + replies and (more := stranger.recv(1000)):
                    replies += more
                assert b"\n5" in b"\n" + replies  # just an unknown command there


class StuckSink(Sink):
    """Its connections two to six never hear a greeting."""

    def converse(self, handler):
        with self.lock:
            self.arrived = getattr(self, "arrived", 0) + 1
            is_stuck = 2 <= self.arrived <= 6
        time.sleep(120 if is_stuck else 0.3)
        if not is_stuck:
            super().converse(handler)


def test_connections_that_never_open_hold_nobody_up():
    with StuckSink() as sink, Relay(to_sink(sink, "deliver { greeting-timeout 2m; idle 1s; }\n")) as relay:
        for number in range(20):
            send(relay, [f"u{number}@dest.example"])
        sink.wait(20)
        time.sleep(2)  # the connections that worked are closed by now
        send(relay, ["another@dest.example"])
        sink.wait(21, 60)
        assert relay.log_lines("timed out") == []


def sendmail(relay, *words, text="Subject: s\n\nhi\n"):
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder, "sendmail")
        link.symlink_to(relay.program)
        return subprocess.run([link, "-C", relay.path, *words], input=text, text=True,
                              capture_output=True, timeout=30)


def test_sendmail_without_a_relay_says_so():
    relay = Relay(OFFICE)
    result = sendmail(relay, "-f", "a@sender.example", "b@dest.example")
    assert result.returncode == 75 and "no relay answers" in result.stderr


def test_sendmail_reads_what_people_write_into_a_header():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        text = ('To: "Doe, John" <j@dest.example>, Friends: k@dest.example (Kay, at home),\n'
                ' root;\nCc: undisclosed-recipients:;\nSubject: s\n\nhi\n')
        result = sendmail(relay, "-f", "a@sender.example", "-t", text=text)
        assert result.returncode == 0, result.stderr
        assert sorted(sink.wait(1)[0][1]) == ["RCPT TO:<j@dest.example>", "RCPT TO:<k@dest.example>",
                                              "RCPT TO:<root@relay.example>"]


def test_refused_sendmail_says_so():
    with Sink() as sink, Relay(
            to_sink(sink).replace("relay { allow", "relay { refuse to bad.example; allow")) as relay:
        result = sendmail(relay, "-f", "a@sender.example", "x@bad.example", "b@dest.example")
        assert result.returncode == 69 and "x@bad.example" in result.stderr
        assert sink.wait(1)[0][1] == ("RCPT TO:<b@dest.example>",)


def test_worker_starts_again_with_another_file():
    """Listeners that moved in the file meanwhile: none is served as another."""
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        other, pid = free_port(), relay.worker_pid()
        relay.path.write_text(relay.path.read_text().replace(
            "listen smtp", f"listen smtp 127.0.0.1:{other} name other;\nlisten smtp", 1))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: relay.worker_pid() not in (None, pid), what="a new worker")
        relay.wait_ready()
        for port in relay.port, other:
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.sendmail("a@sender.example", ["b@dest.example"], MESSAGE)
        sink.wait(2)
        assert len(relay.log_lines("received .*listener=other")) == 1


def test_the_last_of_many_reloads_holds():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        for number in range(20):
            verb = "refuse" if number == 19 else "allow"
            path, relay.path = relay.path, relay.folder / "new"
            relay.write("network office 127.0.0.0/8;\nrelay { %s from office; }\n# %d\n" %
                        (verb, number) + QUICK)
            os.replace(relay.path, path)  # as a whole: half a file would be refused
            relay.path = path
            os.kill(relay.process.pid, signal.SIGHUP)
            time.sleep(0.002)

        def is_refused():
            try:
                send(relay)
            except smtplib.SMTPRecipientsRefused:
                return True
            return False

        wait_until(is_refused, 10, "the last file holds")
        assert not relay.log_lines("not reloaded")


def test_a_long_list_is_whole():
    config = OFFICE + QUICK + f"route smtp 127.0.0.1:{free_port()};\n"
    with Relay(config) as relay:
        recipients = [f"recipient-{number:05}@dest.example" for number in range(250)]
        with smtplib.SMTP("127.0.0.1", relay.port) as client:
            for _ in range(100):
                client.sendmail("a@sender.example", recipients, MESSAGE)
        assert len(relay.queue()) == 25000
        assert "25000 recipients" in relay.command("queue", "hold", "--all").stdout
        ids = sorted({entry["id"] for entry in relay.queue("--state", "held")})
        assert len(ids) == 100
        both = relay.command("queue", "remove", *ids[:2], check=False)
        assert both.returncode == 2 and ids[1] in both.stderr
        assert relay.command("queue", "flush", "--json", check=False).returncode == 2
        relay.command("queue", "remove", "--all")
        relay.wait_empty()
