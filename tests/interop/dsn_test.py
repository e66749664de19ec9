"""Every kind of notification, made by the real relay, read by programs that read bounces for a living:
Sisimai, Mail::DeliveryStatus::BounceParser, flufl.bounce and Python's email.
"""
import email
import email.policy
import re
import smtplib
import subprocess

import pytest

from lab import Relay, Sink

SENDER = "sender@orig.example"
CONTENT = b"From: <sender@orig.example>\r\nMessage-ID: <1@orig.example>\r\nSubject: s\r\n\r\nhi\r\n"
UTF8 = ["SMTPUTF8", "BODY=8BITMIME"]

SISIMAI = ("use Sisimai; binmode(STDOUT, ':utf8');"
           "my $all = Sisimai->make($ARGV[0], delivered => 1) or exit;"
           "print join(' ', $_->recipient->address, $_->action, $_->deliverystatus, $_->reason), qq(\\n)"
           " for @$all;")
BOUNCE_PARSER = ("use Mail::DeliveryStatus::BounceParser; local $/; open my $f, '<', $ARGV[0];"
                 "my $b = eval { Mail::DeliveryStatus::BounceParser->new(scalar <$f>) };"
                 "print join(' ', $_->get('email'), $_->get('std_reason')), qq(\\n)"
                 " for $b && $b->is_bounce ? $b->reports : ();")
FLUFL = ("import email, sys; from flufl.bounce import all_failures\n"
         "temporary, final = all_failures(email.message_from_binary_file(open(sys.argv[1], 'rb')))\n"
         "[print('temporary', a.decode()) for a in sorted(temporary)]\n"
         "[print('final', a.decode()) for a in sorted(final)]")


def lines_of(command, path):
    done = subprocess.run([*command, path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class Notification:
    """One message from the relay, as each reader understood it."""

    def __init__(self, raw, folder):
        path = folder / "notification.eml"
        path.write_bytes(raw.replace(b"\r\n", b"\n"))
        self.raw = raw
        self.sisimai = lines_of(["perl", "-e", SISIMAI], path)
        self.bounce_parser = lines_of(["perl", "-e", BOUNCE_PARSER], path)
        self.flufl = lines_of(["/usr/bin/python3", "-c", FLUFL], path)
        self.message = email.message_from_bytes(raw, policy=email.policy.default)

    def check_form(self):
        """RFC 3464, 6522 and 3834, by our own reading of them."""
        message = self.message
        assert not message.defects and message["Auto-Submitted"].startswith("auto-")
        assert message.get_content_type() == "multipart/report"
        assert message.get_param("report-type") == "delivery-status"
        for name in ("Message-ID", "Date", "From", "To", "MIME-Version"):
            assert message[name], name
        types = [part.get_content_type() for part in message.get_payload()]
        assert types[:2] == ["text/plain", "message/delivery-status"]
        assert types[2] in ("message/rfc822", "message/global", "text/rfc822-headers")
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", self.raw)
        assert max(map(len, self.raw.split(b"\r\n"))) <= 998
        per_message, *per_recipient = message.get_payload()[1].get_payload()
        assert per_message["Reporting-MTA"] == "dns; relay.example"
        assert re.fullmatch(r"(rfc822|utf-8); \S+", per_recipient[0]["Final-Recipient"])
        return per_recipient[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A relay with a next hop that knows DSN, one that does not, and one that speaks LMTP."""
    folder = tmp_path_factory.mktemp("dsn")
    socket = folder / "lmtp"
    plain = ("PIPELINING", "8BITMIME", "SMTPUTF8")
    with Sink() as sink, Sink(plain) as old, Sink(plain, lmtp=True, path=str(socket)) as store:
        config = (f"network lab 127.0.0.0/8;\nrelay {{ allow from lab; }}\n"
                  f"route to old.example smtp 127.0.0.1:{old.port};\n"
                  f"route to store.example lmtp unix:{socket};\n"
                  f"route smtp 127.0.0.1:{sink.port};\n"
                  "queue { retry 1s; warn-after 2s; lifetime 6s; }\ndeliver { allow-local yes; }\n")
        with Relay(config) as relay:
            yield relay, sink, folder


def notify(world, recipient, options=(), mail_options=(), sender=SENDER, count=1):
    """Sends one message and returns the `count`-th notification about it."""
    relay, sink, folder = world
    with sink.lock:
        sink.messages.clear()
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example", timeout=20) as client:
        client.ehlo()
        client.command_encoding = "utf-8"
        assert client.mail(sender, list(mail_options))[0] == 250
        assert client.rcpt(recipient, list(options))[0] == 250
        assert client.data(CONTENT)[0] == 250
    sender_line, recipients, raw = sink.wait(count)[count - 1]
    assert sender_line.startswith("MAIL FROM:<>")
    assert recipients[0].startswith(f"RCPT TO:<{sender}>")
    return Notification(raw[raw.index(b"From: "):], folder)


def test_failed(world):
    seen = notify(world, "reject@dest.example", ["ORCPT=rfc822;first@dest.example"],
                  ["RET=HDRS", "ENVID=abc+2B1"])
    fields = seen.check_form()
    assert fields["Action"] == "failed" and fields["Status"] == "5.1.1"
    assert fields["Original-Recipient"] == "rfc822; first@dest.example"
    assert seen.sisimai == ["reject@dest.example failed 5.1.1 userunknown"]
    assert seen.bounce_parser == ["first@dest.example user_unknown"]
    assert seen.flufl == ["final first@dest.example"]


def test_delayed_then_expired(world):
    seen = notify(world, "defer@dest.example")
    fields = seen.check_form()
    assert fields["Action"] == "delayed" and fields["Status"] == "4.7.1"
    assert fields["Will-Retry-Until"]
    assert [line.split()[:3] for line in seen.sisimai] == [["defer@dest.example", "delayed", "4.7.1"]]
    assert seen.flufl == ["temporary defer@dest.example"]

    relay, sink, folder = world
    raw = sink.wait(2)[1][2]
    seen = Notification(raw[raw.index(b"From: "):], folder)
    fields = seen.check_form()
    assert fields["Action"] == "failed" and fields["Status"] == "5.4.7"
    assert [line.split()[:2] for line in seen.sisimai] == [["defer@dest.example", "failed"]]
    assert [line.split()[0] for line in seen.bounce_parser] == ["defer@dest.example"]
    assert seen.flufl == ["final defer@dest.example"]


@pytest.mark.parametrize("recipient, action", [("bob@old.example", "relayed"),
                                               ("bob@store.example", "delivered")])
def test_success_is_no_bounce(world, recipient, action):
    seen = notify(world, recipient, ["NOTIFY=SUCCESS"])
    fields = seen.check_form()
    assert fields["Action"] == action and fields["Status"].startswith("2.")
    assert [line.split()[:2] for line in seen.sisimai] == [[recipient, action]]
    assert seen.bounce_parser == [] and seen.flufl == []


def test_smtputf8(world):
    """The ASCII form of the address is read where backslashes are not minded: by BounceParser, and by
    Sisimai in the address that the client gave as the original one. flufl.bounce knows addresses of
    the type rfc822 only: no form of RFC 6533 says anything to it.
    """
    original = r"ORCPT=utf-8;reject-b\x{F6}b@dest.example"
    seen = notify(world, "reject-b\u00f6b@dest.example", [original], UTF8)
    fields = seen.check_form()
    assert fields["Final-Recipient"] == r"utf-8; reject-b\x{F6}b@dest.example"
    assert fields["Original-Recipient"] == r"utf-8; reject-b\x{F6}b@dest.example"
    assert fields["Action"] == "failed" and fields["Status"] == "5.1.1"
    assert "<reject-b\u00f6b@dest.example>" in seen.message.get_payload()[0].get_content()
    assert seen.bounce_parser == [r"reject-b\x{F6}b@dest.example user_unknown"]
    assert seen.sisimai == [r"reject-b\x{F6}b@dest.example failed 5.1.1 userunknown"]


def test_smtputf8_sender(world):
    """Here To has to be UTF-8, and Sisimai reads no message with such a header."""
    seen = notify(world, "reject@dest.example", mail_options=UTF8, sender="j\u00f6rg@orig.example")
    fields = seen.check_form()
    assert fields["Final-Recipient"] == "rfc822; reject@dest.example"
    assert fields["Action"] == "failed" and fields["Status"] == "5.1.1"
    assert seen.bounce_parser == ["reject@dest.example user_unknown"]
    assert seen.flufl == ["final reject@dest.example"]
