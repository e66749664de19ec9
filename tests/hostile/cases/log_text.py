"""The log: a stranger writes neither lines nor control bytes into it."""
import re
import time

from cases import case
from wire import Fail, Gone, Skip, Slow, show


@case("LG01", "log lines cannot be forged and hold no raw control bytes", refs="log injection")
def lg01(lab):
    if not lab.options.log_file:
        raise Skip("no --log-file")
    pos = lab.log_size()
    token = lab.token(b"LOGINJ")
    evil = b"x\x1b[31m\n" + token + b" forged\r" + token + b" forged2"
    for act in (
        lambda client: client.command(b"EHLO " + evil),
        lambda client: client.command(b"MAIL FROM:<" + evil + b"@client.test>"),
        lambda client: client.command(evil),
        lambda client: (
            client.command(b"MAIL FROM:<a@client.test>"),
            client.command(b"RCPT TO:<" + evil + b"@other.test>"),
        ),
    ):
        client = lab.smtp()
        try:
            act(client)
        except (Gone, Slow, Fail):
            pass
        client.close()
    try:
        lab.deliver(
            [lab.rcpt()],
            b"Message-ID: <a\x1b[31m\x07"
            + token
            + b"@b>\r\nSubject: \x1b[2J"
            + token
            + b"\r\n\r\nx\r\n",
        )
    except (Gone, Slow, Fail):
        pass
    if lab.options.user:
        try:
            client = lab.submission()
            client.command(b"AUTH PLAIN " + lab.plain(user=evil, password=b"x"), 10)
            client.close()
        except (Gone, Slow, Fail, Skip):
            pass
    lab.deliver([lab.rcpt(b"evilr-")], lab.message(token), sender=b"")
    lab.sentinel()
    time.sleep(0.5)
    for client in lab.connections:
        client.reply_flaws = []  # PR17 judges the replies, this case the log
    new = lab.log_since(pos)
    if not new:
        raise Skip("log file did not grow")
    if re.search(rb"(?m)^" + token, new) or re.search(rb"[\r\n]" + token, new):
        raise Fail("forged log line written")
    m = re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", new)
    if m:
        raise Fail(
            "raw control byte 0x%02x in the log near %s"
            % (m.group()[0], show(new[max(0, m.start() - 30) : m.start() + 20]))
        )
    return "%d log bytes clean" % len(new)
