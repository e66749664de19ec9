"""Load and limits, on real sockets: idle crowds, slow and deaf clients, memory, descriptors, the log.

Times are never asserted on; what is asserted is who is served, who is let go, and how much memory it took.
"""
import os
import pathlib
import resource
import socket
import subprocess
import threading
import time

import pytest

from lab import Relay, Sink, wait_until

IDLE = int(os.environ.get("IDLE", "10000"))
BASE = ("network office 127.0.0.0/8;\nrelay {{ allow from office; }}\nroute smtp 127.0.0.1:{port};\n"
        "deliver {{ allow-local yes; {deliver} }}\nqueue {{ retry 1s; lifetime 1h; {queue} }}\n"
        "limits {{ {limits} }}\n{more}\n")
MAIL = b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<%s@dest.example>\r\nDATA\r\n"


def config(port=9, deliver="", queue="", limits="", more=""):
    return BASE.format(port=port, deliver=deliver, queue=queue, limits=limits, more=more)


def memory_bytes(pid, key="Pss", file="smaps_rollup"):
    text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(key + ":"))


def connect(relay, source="127.0.0.1"):
    client = socket.socket()
    client.settimeout(20)
    client.bind((source, 0))
    client.connect(("127.0.0.1", relay.port))
    return client


def reply(client):
    text = b""
    while not (text.endswith(b"\r\n") and text.splitlines()[-1][3:4] == b" "):
        piece = client.recv(4096)
        if not piece:
            return text
        text += piece
    return text


def say(client, line, code):
    client.sendall(line)
    answer = reply(client)
    assert answer.startswith(code), (line[:60], answer)


def send_mail(client, user=b"b", content=b"Subject: x\r\n\r\ntext\r\n"):
    say(client, b"EHLO c.example\r\n", b"250")
    say(client, b"MAIL FROM:<a@sender.example>\r\n", b"250")
    say(client, b"RCPT TO:<%s@dest.example>\r\n" % user, b"250")
    say(client, b"DATA\r\n", b"354")
    say(client, content + b".\r\n", b"250")


def crowd_address(number):
    return f"127.77.{number // 250}.{number % 250 + 1}"


def raise_descriptors(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (ValueError, OSError):
        pytest.skip(f"SKIP: {wanted} descriptors wanted, the machine allows {hard}")


def test_ten_thousand_idle_clients():
    """Each costs less than 8 KiB; the next one is served; beyond the limit the oldest gives way."""
    raise_descriptors(IDLE + 4000)
    settings = config(limits=f"connections {IDLE}; connections-per-client 100;")
    with Relay(settings) as relay:
        worker = relay.worker_pid()
        before = memory_bytes(worker)
        crowd = [connect(relay, crowd_address(number)) for number in range(IDLE - 1)]
        for client in crowd:
            assert reply(client).startswith(b"220")
        each = (memory_bytes(worker) - before) / len(crowd)
        for client in crowd:
            client.sendall(b"EHLO c.example\r\n")
        for client in crowd:
            assert reply(client).startswith(b"250")
        used = (memory_bytes(worker) - before) / len(crowd)
        print(f"{len(crowd)} idle clients: {each:.0f} bytes each, {used:.0f} after EHLO")
        assert each < 8192 and used < 8192
        late = [connect(relay, f"127.78.0.{number + 1}") for number in range(50)]
        for client in late:
            assert reply(client).startswith(b"220")
        send_mail(late[-1])
        assert reply(crowd[0]).startswith(b"421 4.7.0") and crowd[0].recv(10) == b""
        say(crowd[-1], b"NOOP\r\n", b"250")
        for client in crowd + late:
            client.close()
        wait_until(lambda: relay.status()["open_sessions"] == 0, what="all sessions end")


def test_one_address_has_its_limit():
    with Relay(config(limits="connections-per-client 5;")) as relay:
        clients = [connect(relay, "127.77.0.1") for _ in range(5)]
        for client in clients:
            assert reply(client).startswith(b"220")
        refused = connect(relay, "127.77.0.1")
        assert reply(refused).startswith(b"421 4.7.0") and refused.recv(10) == b""
        assert reply(connect(relay, "127.77.0.2")).startswith(b"220")
        say(clients[0], b"QUIT\r\n", b"221")
        clients[0].close()
        wait_until(lambda: reply(connect(relay, "127.77.0.1")).startswith(b"220"), what="a place again")


def test_who_lingers_keeps_his_place():
    """A client that says QUIT and never closes is counted until he has gone."""
    with Relay(config(limits="connections-per-client 2;")) as relay:
        clients = [connect(relay, "127.77.0.1") for _ in range(2)]
        for client in clients:
            assert reply(client).startswith(b"220")
            say(client, b"QUIT\r\n", b"221")
        assert reply(connect(relay, "127.77.0.1")).startswith(b"421 4.7.0")


def test_slow_and_deaf_clients_are_let_go():
    limits = ("line-timeout 1s; command-timeout 3s; connections-per-client 50; commands 100000000; "
              "idle-commands 1000000;")
    with Relay(config(limits=limits)) as relay:
        silent, dribble, deaf = (connect(relay) for _ in range(3))
        for client in (silent, dribble, deaf):
            assert reply(client).startswith(b"220")
        dribble.sendall(b"NO")
        deaf.setblocking(False)
        sent, stalled = 0, 0
        while stalled < 100 and sent < 64 << 20:
            try:
                sent += deaf.send(b"NOOP\r\n" * 100)
                stalled = 0
            except BlockingIOError:
                stalled += 1
                time.sleep(0.01)
            except ConnectionError:
                break
        assert sent < 32 << 20, "a client that reads nothing is read without end"
        assert reply(dribble).startswith(b"421 4.4.2") and dribble.recv(10) == b""
        assert reply(silent).startswith(b"421 4.4.2") and silent.recv(10) == b""
        wait_until(lambda: relay.status()["open_sessions"] == 0, what="the deaf one is let go")


def test_slow_next_hops_hold_nobody_up():
    """One hop drips its greeting, one reads no content; mail for the third goes through meanwhile."""
    drip, deaf = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    is_over = threading.Event()

    def dripping():
        client = drip.accept()[0]
        while not is_over.wait(0.2):
            try:
                client.sendall(b"220-wait\r\n")
            except OSError:
                client = drip.accept()[0]

    def not_reading():
        kept = []
        while not is_over.is_set():
            client = deaf.accept()[0]
            kept.append(client)
            client.sendall(b"220 deaf\r\n")
            for answer in (b"250 deaf\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
                client.recv(4096)
                client.sendall(answer)

    for work in (dripping, not_reading):
        threading.Thread(target=work, daemon=True).start()
    with Sink() as sink:
        more = (f"domain drip drip.example; domain deaf deaf.example;\n"
                f"route to drip smtp 127.0.0.1:{drip.getsockname()[1]};\n"
                f"route to deaf smtp 127.0.0.1:{deaf.getsockname()[1]};\nroute smtp 127.0.0.1:{sink.port};")
        text = config(deliver="greeting-timeout 1s; content-timeout 1s;", more=more)
        text = text.replace("route smtp 127.0.0.1:9;\n", "")
        with Relay(text) as relay:
            client = connect(relay)
            assert reply(client).startswith(b"220")
            say(client, b"EHLO c.example\r\n", b"250")
            for host, size in ((b"drip", 10), (b"deaf", 9000000), (b"dest", 10)):
                say(client, b"MAIL FROM:<a@sender.example>\r\n", b"250")
                say(client, b"RCPT TO:<x@%s.example>\r\n" % host, b"250")
                say(client, b"DATA\r\n", b"354")
                say(client, b"Subject: x\r\n\r\n" + b"line of text\r\n" * (size // 14) + b".\r\n", b"250")
            sink.wait(1)
            wait_until(lambda: relay.log_lines(" deferred .*drip.*timed out"), what="the drip is given up")
            wait_until(lambda: relay.log_lines(" deferred .*deaf.*timed out"), what="the deaf is given up")
            is_over.set()


def ceiling_bytes(relay):
    return int(relay.log_lines("memory ceiling")[0].split('is="')[1].split(" MiB")[0]) << 20


def test_memory_stays_under_its_ceiling():
    """Everything at its limit at once: sessions, envelopes, bodies, slow next hops."""
    slow = socket.create_server(("127.0.0.1", 0), backlog=500)
    settings = config(port=slow.getsockname()[1], deliver="connections 40;", queue="memory 16M; unwritten 8M;"
                      " recipients 20000;", limits="connections 200; connections-per-client 300; memory 8M;",
                      more="resolver { cache 4M; queries 100; }\ndestinations { connections 40; }")
    with Relay(settings) as relay:
        worker = relay.worker_pid()
        clients = [connect(relay) for _ in range(150)]
        many = b"".join(b"RCPT TO:<user-%06d-%s@dest.example>\r\n" % (i, b"x" * 40) for i in range(900))
        refused = 0

        def envelope(client):
            nonlocal refused
            assert reply(client).startswith(b"220")
            say(client, b"EHLO c.example\r\n", b"250")
            client.sendall(b"MAIL FROM:<a@sender.example>\r\n" + many)
            answers = client.makefile("rb")
            codes = [answers.readline()[:3] for _ in range(901)]
            refused += codes.count(b"452")

        def work(part, deed):
            for client in part:
                deed(client)

        def body(client):
            client.sendall(b"DATA\r\n")
            client.recv(1000)
            client.sendall(b"Subject: big\r\n\r\n" + b"x" * 900 + b"\r\n" + b"y" * 998 + b"\r\n")
            client.sendall((b"z" * 78 + b"\r\n") * 12500)

        for deed, count in ((envelope, 150), (body, 60)):
            threads = [threading.Thread(target=work, args=(clients[i:count:10], deed)) for i in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for client in clients[:60]:
            client.sendall(b".\r\n")
        for client in clients[60:]:
            client.sendall(b"NOOP " + b"x" * 60000)
        time.sleep(1)
        assert relay.worker_pid() == worker, relay.log_text()[-2000:]
        peak, ceiling = memory_bytes(worker, "VmHWM", "status"), ceiling_bytes(relay)
        print(f"peak {peak >> 20} MiB, ceiling {ceiling >> 20} MiB, {refused} recipients put off")
        assert refused > 0, "the limit of all envelopes together was not reached"
        assert peak < ceiling
        limits = pathlib.Path(f"/proc/{worker}/limits").read_text()
        assert ceiling < int(limits.split("Max data size")[1].split()[0])
        for client in clients:
            client.close()
    slow.close()


@pytest.mark.parametrize("descriptors", [64, 200])
def test_few_descriptors(descriptors):
    """More clients than descriptors: all is served in turn, delivered, and it said so at its start."""
    with Sink() as sink:
        path = Relay(config(port=sink.port, limits="connections-per-client 1000;"))
        program = path.folder / "few"
        program.write_text(f"#!/bin/sh\nulimit -n {descriptors}\nexec {path.program} \"$@\"\n")
        program.chmod(0o755)
        real, path.program = path.program, program
        with path as relay:
            relay.program = real
            assert relay.log_lines(f" descriptors available={descriptors} .*remedy=")
            crowd = [connect(relay, crowd_address(number)) for number in range(3 * descriptors)]
            for number in range(10):
                client = connect(relay, "127.78.0.1")
                assert reply(client).startswith(b"220")
                send_mail(client, b"b%d" % number)
                client.close()
            sink.wait(10)
            relay.wait_empty()
            print(f"{descriptors} descriptors: {len(crowd)} idle clients, 10 messages")
            for client in crowd:
                client.close()
            wait_until(lambda: relay.status()["open_sessions"] == 0, what="all is as before")
            send_mail_after = connect(relay)
            assert reply(send_mail_after).startswith(b"220")
            send_mail(send_mail_after, b"last")
            sink.wait(11)


def test_too_few_descriptors_are_refused():
    relay = Relay(config())
    result = subprocess.run(["sh", "-c", f"ulimit -n 40; exec timeout 2 {relay.program} serve -c {relay.path}"],
                            capture_output=True, text=True, timeout=30)
    assert "too few descriptors" in result.stderr and "remedy=" in result.stderr


def test_log_on_a_full_disk_and_rotation():
    """Mail goes on while the log cannot be written; what was lost is counted; a new file is used at once."""
    with Sink() as sink:
        relay = Relay(config(port=sink.port))
        log = relay.folder / "relay.log"
        log.symlink_to("/dev/full")
        relay.write(config(port=sink.port, more=f'log json to "{log}" level debug;'))
        with relay:
            client = connect(relay)
            assert reply(client).startswith(b"220")
            for number in range(1500):
                send_mail(client, b"x" * 60, b"Subject: %d\r\n\r\n" % number)
            sink.wait(1500, 60)
            log.unlink()
            os.kill(relay.process.pid, 1)
            wait_until(lambda: log.exists() and '"reloaded"' in log.read_text(), what="the new file is used")
            send_mail(client, b"again")
            wait_until(lambda: "again@dest.example" in log.read_text(), what="the worker writes there too")
            log.rename(relay.folder / "relay.log.1")
            os.kill(relay.process.pid, 1)
            wait_until(lambda: log.exists() and '"reloaded"' in log.read_text(), what="rotated")
            send_mail(client, b"rotated")
            wait_until(lambda: "rotated@dest.example" in log.read_text(), what="the worker follows")
            log.rename(relay.folder / "relay.log.2")
            relay.path.write_text(relay.path.read_text() + "nonsense;")
            os.kill(relay.process.pid, 1)
            wait_until(lambda: log.exists(), what="rotated, though the new configuration has an error")
            send_mail(client, b"still")
            wait_until(lambda: "still@dest.example" in log.read_text(), what="the worker follows then too")
            assert '"log lines lost"' in (relay.folder / "relay.log.1").read_text()


def test_check_says_the_ceiling():
    assert "memory ceiling " in Relay(config()).command("check").stdout


def test_control_requests_wait_their_turn():
    with Relay(config()) as relay:
        waiting = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(relay.folder / "spool" / "control"))
            waiting.append(client)
        for client in waiting[:10]:
            client.close()
        assert reply(connect(relay)).startswith(b"220")
        for client in waiting:
            client.close()
        assert relay.status()["queued_messages"] == 0
