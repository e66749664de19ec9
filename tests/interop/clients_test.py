"""Mail programs that others wrote, each sending through the relay to a sink, without TLS and logins."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from lab import Relay, Sink
from relay_test import MESSAGE, to_sink, without_trace

FROM, TO = "a@sender.example", "b@dest.example"
NODE = """
const [port, from, to] = process.argv.slice(1);
const t = require('nodemailer').createTransport({host: '127.0.0.1', port: +port, ignoreTLS: true, pool: true,
    maxConnections: 3});
Promise.all([...Array(10).keys()].map(i => t.sendMail({from, to, subject: 'n' + i, text: 'x\\n.\\n..y',
    dsn: {id: 'id' + i, return: 'headers', notify: ['failure', 'delay'], recipient: from}})))
    .then(() => t.sendMail({from, to, subject: '\\u00e9', html: '<b>\\u00fc</b>',
        attachments: [{content: Buffer.alloc(200000, 7), filename: 'a.bin'}]}))
    .then(() => t.close()).catch(e => { console.error(e.message); process.exit(1) });
"""
RUBY = """
require 'net/smtp'
Net::SMTP.new('127.0.0.1', ARGV[0].to_i).start(helo: 'c.example') { |s|
  s.send_message("Subject: r\\r\\n\\r\\nhi\\r\\n.x\\r\\n", ARGV[1], ARGV[2]) }
"""
PERL = """
my ($port, $from, $to) = @ARGV;
my $s = Net::SMTP->new('127.0.0.1', Port => $port, Hello => 'c.example') or die 'connect';
$s->mail($from) or die; $s->to($to) or die; $s->data("Subject: p\\n\\nhi\\n.\\n..\\n") or die; $s->quit;
"""
# name, messages that must arrive, command; {port}, {message} (a file), {from} and {to} are filled in
COMMANDS = [
    ("swaks", 1, "swaks --server 127.0.0.1 --port {port} --from {from} --to {to} --data @{message} --silent 2"),
    ("swaks-helo", 1, "swaks --server 127.0.0.1 --port {port} --from {from} --to {to} --data @{message} "
                      "--silent 2 --protocol SMTP"),
    ("swaks-pipeline", 1, "swaks --server 127.0.0.1 --port {port} --from {from} --to {to} --data @{message} "
                          "--silent 2 --pipeline"),
    ("swaks-null-sender", 1, "swaks --server 127.0.0.1 --port {port} --from <> --to {to},x{to} --silent 2"),
    ("curl", 1, "curl -sS smtp://127.0.0.1:{port}/x.example --mail-from {from} --mail-rcpt {to} -T {message}"),
    ("curl-three", 3, "curl -sS --next smtp://127.0.0.1:{port} --mail-from {from} --mail-rcpt {to} -T {message} "
                      "--next smtp://127.0.0.1:{port} --mail-from {from} --mail-rcpt {to} -T {message} "
                      "--next smtp://127.0.0.1:{port} --mail-from {from} --mail-rcpt {to} -T {message}"),
    ("curl-noop", 0, "curl -sS smtp://127.0.0.1:{port} -X NOOP"),
    ("smtp-source", 200, "smtp-source -s 5 -m 200 -f {from} -t {to} 127.0.0.1:{port}"),
]
SCRIPTS = [
    ("nodemailer", 11, ["node", "-e", NODE]),
    ("ruby", 1, ["ruby", "-e", RUBY]),
    ("perl", 1, ["perl", "-MNet::SMTP", "-e", PERL]),
]


@pytest.fixture(scope="module")
def relay_and_sink():
    with Sink() as sink, Relay(to_sink(sink)) as relay:
        yield relay, sink


@pytest.fixture
def message():
    with tempfile.NamedTemporaryFile() as file:
        file.write(MESSAGE)
        file.flush()
        yield file.name


def run_client(relay_and_sink, arriving, command, **options):
    relay, sink = relay_and_sink
    before = len(sink.messages)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    sink.wait(before + arriving)
    relay.wait_empty()
    assert len(sink.messages) == before + arriving
    return sink.messages[before:]


@pytest.mark.parametrize("name,arriving,command", COMMANDS, ids=[row[0] for row in COMMANDS])
def test_command(relay_and_sink, message, name, arriving, command):
    words = {"port": relay_and_sink[0].port, "message": message, "from": FROM, "to": TO}
    arrived = run_client(relay_and_sink, arriving, [word.format(**words) for word in command.split()])
    if name in ("swaks", "curl"):
        assert without_trace(arrived[0][2]).rstrip() == MESSAGE.rstrip()


@pytest.mark.parametrize("name,arriving,command", SCRIPTS, ids=[row[0] for row in SCRIPTS])
def test_script(relay_and_sink, name, arriving, command):
    environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
    run_client(relay_and_sink, arriving, [*command, str(relay_and_sink[0].port), FROM, TO], env=environment)


def test_msmtp(relay_and_sink, message):
    with tempfile.TemporaryDirectory() as home:
        config = pathlib.Path(home, "msmtprc")
        config.write_text(f"account default\nhost 127.0.0.1\nport {relay_and_sink[0].port}\ntls off\n"
                          f"auth off\nfrom {FROM}\ndsn_notify failure,delay\ndsn_return headers\n")
        config.chmod(0o600)
        arrived = run_client(relay_and_sink, 1, ["msmtp", "-C", config, TO], stdin=open(message))
        assert "RET=HDRS" in arrived[0][0] and "NOTIFY=FAILURE,DELAY" in arrived[0][1][0]


def test_s_nail(relay_and_sink):
    run_client(relay_and_sink, 1, ["s-nail", "-:/", "-S", "v15-compat", "-S",
                                   f"mta=smtp://127.0.0.1:{relay_and_sink[0].port}", "-S",
                                   "smtp-auth=none", "-S", f"from={FROM}", "-s", "t", TO], input="hi\n")


def test_mutt(relay_and_sink):
    settings = f"set smtp_url=smtp://127.0.0.1:{relay_and_sink[0].port} ssl_starttls=no ssl_force_tls=no from={FROM} record="
    run_client(relay_and_sink, 1, ["mutt", "-n", "-F", "/dev/null", "-e", settings, "-s", "t", TO],
               input="hi\n")


def test_git_send_email(relay_and_sink):
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HOME": folder, "GIT_CONFIG_NOSYSTEM": "1"}

        def git(*words):
            return ["git", "-c", "user.name=x", "-c", f"user.email={FROM}", *words]

        for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "one"),
                      ("commit", "-q", "--allow-empty", "-m", "two")):
            subprocess.run(git(*words), cwd=folder, env=environment, check=True)
        subprocess.run(git("format-patch", "-q", "--always", "-1"), cwd=folder, env=environment, check=True)
        patch = next(pathlib.Path(folder).glob("*.patch"))
        run_client(relay_and_sink, 1, git("send-email", f"--from={FROM}", f"--to={TO}",
                                          "--smtp-server=127.0.0.1",
                                          f"--smtp-server-port={relay_and_sink[0].port}",
                                          "--confirm=never", "--quiet", str(patch)),
                   cwd=folder, env=environment)


def test_sendmail_command(relay_and_sink):
    relay, _ = relay_and_sink
    folder = tempfile.mkdtemp()
    sendmail = pathlib.Path(folder, "sendmail")
    sendmail.symlink_to(relay.program)
    arrived = run_client(relay_and_sink, 1, [sendmail, "-C", relay.path, "-f", FROM, "-t", "-i"],
                         input=f"To: <{TO}>\nBcc: hidden@dest.example\nSubject: s\n\nhi\n.\nbye\n")
    shutil.rmtree(folder)
    assert len(arrived[0][1]) == 2 and b"Bcc" not in arrived[0][2]
    assert arrived[0][2].endswith(b"\r\n\r\nhi\r\n.\r\nbye\r\n")


def test_nmap_finds_no_open_relay():
    """From an address that no rule names: every spelling is refused."""
    with Sink() as sink:
        config = to_sink(sink).replace("127.0.0.0/8", "192.0.2.0/24")
        with Relay(config) as relay:
            scan = subprocess.run(["nmap", "-Pn", "-n", "-sT", "-p", str(relay.port), "--script",
                                   "+smtp-open-relay,+smtp-commands", "127.0.0.1"],
                                  capture_output=True, text=True, timeout=120).stdout
            assert "doesn't seem to be an open relay, all tests failed" in scan, scan
            assert "PIPELINING" in scan and "SMTPUTF8" in scan
