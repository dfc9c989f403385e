"""A browser: pages of another origin can neither read from `mglu serve` nor have it compute, those of an
allowed origin can; its own page chats; and pages are whole on a narrow screen. Chromium is the system's, or
playwright's own; without one there is nothing to run."""

import functools
import http.server
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.request

from support import MGLU, mglu

try:
    from playwright.sync_api import Error, sync_playwright
except ImportError:
    sync_playwright = None

NARROW = {"width": 390, "height": 844}
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}A:"
# What a page tries: to read, to have a text computed, and both in the ways that browsers do not ask for.
ATTACK = """async (server) => {
  const found = {}
  const attempt = async (name, work) => {
    try { found[name] = await work() } catch (error) { found[name] = 'refused' }
  }
  const body = JSON.stringify({ prompt: 'a', max_tokens: 3, temperature: 0 })
  const json = { 'content-type': 'application/json' }
  await attempt('read', async () => (await fetch(server + '/v1/models')).status)
  await attempt('metrics', async () => (await fetch(server + '/metrics')).status)
  await attempt('write', async () => {
    const reply = await fetch(server + '/v1/completions', { method: 'POST', headers: json, body })
    return (await reply.json()).choices[0].finish_reason
  })
  await attempt('stream', async () => {
    const reply = await fetch(server + '/v1/completions', {
      method: 'POST', headers: json, body: body.replace('{', '{"stream":true,') })
    return (await reply.text()).includes('[DONE]')
  })
  await attempt('text', async () => {
    await fetch(server + '/v1/completions', { method: 'POST', mode: 'no-cors', body })
    return 'sent'
  })
  await attempt('beacon', async () => navigator.sendBeacon(server + '/v1/completions', body))
  const frame = document.body.appendChild(document.createElement('iframe'))
  frame.name = 'sink'
  const form = document.body.appendChild(document.createElement('form'))
  Object.assign(form, { method: 'POST', action: server + '/v1/completions', enctype: 'text/plain',
    target: 'sink' })
  const input = form.appendChild(document.createElement('input'))
  Object.assign(input, { name: body.replace('}', ',"user":"'), value: '"}' })
  const loaded = new Promise(done => { frame.onload = done; setTimeout(done, 3000) })
  form.submit()
  await loaded
  return found
}"""


class QuietPages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def browser_path():
    names = ["chromium", "chromium-browser", "google-chrome"]
    return os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


@unittest.skipUnless(sync_playwright, "playwright is not installed")
class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.play = sync_playwright().start()
        cls.addClassCleanup(cls.play.stop)
        try:
            # Any name leads to this machine, as an attacker's may.
            cls.browser = cls.play.chromium.launch(executable_path=browser_path(), args=[
                "--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"])
        except Error as error:
            raise unittest.SkipTest(f"no Chromium: {str(error).splitlines()[0]}") from error
        cls.addClassCleanup(cls.browser.close)
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        text = cls.folder / "input.txt"
        text.write_text("The cat sat on the mat, and the dog ate what the cat had left.\n" * 400)
        small = ["--layers", 1, "--hidden-size", 32, "--heads", 2, "--intermediate-size", 48, "--threads", 1]
        mglu("train", "--data", text, "--output", cls.folder / "run", "--steps", 3, *small)
        (cls.folder / "run/chat_template.jinja").write_text(TEMPLATE)
        mglu("compare", "--data", text, "--units", "swiglu,swimglu:1,swimglu:4", "--seeds", "1,2", "--steps", 6,
             "--config", cls.folder / "run/config.json", "--batch-size", 2, "--threads", 1,
             "--output", cls.folder / "comparison")
        (cls.folder / "index.html").write_text("<!doctype html><body>a page</body>")
        cls.pages = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(QuietPages, directory=cls.folder))
        threading.Thread(target=cls.pages.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.pages.shutdown)

    def serve(self, *options):
        process = subprocess.Popen(
            list(map(str, [MGLU, "serve", "--model", self.folder / "run", "--port", 0, "--threads", 1,
                           *options])), stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        for line in process.stderr:
            if match := re.search(r"at (http://\S+)", line):
                return match[1]
        self.fail("mglu serve ended")

    def page(self, address, **options):
        context = self.browser.new_context(**options)
        self.addCleanup(context.close)
        page = context.new_page()
        page.goto(address)
        return page

    def generated(self, server):
        """The tokens that the server has computed."""
        with urllib.request.urlopen(server + "/metrics") as reply:
            text = reply.read().decode()
        return sum(float(value) for value in re.findall(r"^\S*generation_tokens_total\S* (\S+)", text, re.M))

    def test_pages_of_others(self):
        server = self.serve()
        port = server.rsplit(":", 1)[1]
        self.assertEqual(self.generated(server), 0)
        for origin in ["localhost", "evil.example"]:
            page = self.page(f"http://{origin}:{self.pages.server_port}/")
            for name in ["127.0.0.1", "localhost", "evil.example"]:
                with self.subTest(origin=origin, name=name):
                    found = page.evaluate(ATTACK, f"http://{name}:{port}")
                    for attempt in ["read", "metrics", "write", "stream"]:
                        self.assertEqual(found[attempt], "refused", attempt)
        # A page under a name that leads here is none of the server's.
        page = self.page("about:blank")
        self.assertEqual(page.goto(f"http://evil.example:{port}/").status, 403)
        self.assertEqual(self.generated(server), 0)

    def test_pages_that_may(self):
        origin = f"http://localhost:{self.pages.server_port}"
        server = self.serve("--cors-origin", origin)
        found = self.page(origin).evaluate(ATTACK, server)
        self.assertEqual((found["read"], found["write"], found["stream"]), (200, "length", True))
        other = self.page(f"http://127.0.0.1:{self.pages.server_port}").evaluate(ATTACK, server)
        self.assertEqual((other["read"], other["write"]), ("refused", "refused"))
        # The two texts of three tokens each: what is no JSON is not computed.
        self.assertEqual(self.generated(server), 6)

    def test_own_page_chats(self):
        server = self.serve()
        page = self.page(server, viewport=NARROW)
        problems = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.fill("#tokens", "8")
        for message in ["Hello", "And now?"]:
            page.fill("#prompt", message)
            page.click("#go")
            page.wait_for_function("document.getElementById('go').textContent == 'Send'")
        text = page.inner_text("#text")
        self.assertLess(text.index("Hello"), text.index("And now?"))
        self.assertIn("tokens/s", page.inner_text("#rate"))
        self.keep(page, "page")
        self.assertFits(page)
        page.click("#new")
        self.assertEqual(page.inner_text("#text"), "")
        self.assertEqual(problems, [])

    def test_reports_on_narrow_screens(self):
        page = self.page(f"http://localhost:{self.pages.server_port}/comparison/report.html", viewport=NARROW)
        self.keep(page, "report")
        self.assertFits(page)
        cut = page.evaluate("""() => [...document.querySelectorAll('td, p, li, figure')].filter(one => {
            const box = one.getBoundingClientRect()
            return box.left < 0 || box.right > innerWidth
          }).map(one => one.textContent)""")
        self.assertEqual(cut, [])
        title = page.evaluate(
            "() => getComputedStyle(document.querySelectorAll('td')[4], '::before').content")
        self.assertIn("validation loss", title)

    def assertFits(self, page):
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), NARROW["width"])

    def keep(self, page, name):
        """A picture to look at, where SCREENSHOTS names a folder."""
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{name}.png", full_page=True)
