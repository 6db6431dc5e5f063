"""Headless Chromium through its debugging pipe, with Python's standard library only.

    with Browser() as b: b.open(path, width=390, height=844, dark=True); b.evaluate("document.title"); b.screenshot("a.png")
`errors` collects what the page logs as error or warning, uncaught exceptions and every request that is not the page itself.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


def find():
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if shutil.which(name):
            return shutil.which(name)
    return None


class Browser:
    def __init__(self):
        self.errors, self.number, self.buffer, self.events = [], 0, b"", []
        self.profile = tempfile.mkdtemp(prefix="relearn-chromium-")
        to_child, self.write_end = os.pipe()
        self.read_end, from_child = os.pipe()
        arguments = [
            find(),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={self.profile}",
            "--remote-debugging-pipe",
            "about:blank",
        ]

        def wire():  # Chromium reads commands from 3 and writes to 4
            a, b = os.dup(to_child), os.dup(from_child)
            a, b = (os.dup(a) if a in (3, 4) else a), (os.dup(b) if b in (3, 4) else b)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            arguments,
            pass_fds=(3, 4, to_child, from_child),
            preexec_fn=wire,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self.session = None
        pages = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        target = pages[0]["targetId"] if pages else self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.close(self.write_end)
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read_end)
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.read_end], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            chunk = os.read(self.read_end, 1 << 20)
            if not chunk:
                raise RuntimeError("Chromium has ended")
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def note(self, event):
        self.events.append(event.get("method"))
        kind, content = event.get("method"), event.get("params", {})
        if kind == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert"):
            self.errors.append(f"console: {content['args']}")
        elif kind == "Runtime.exceptionThrown":
            self.errors.append(
                f"exception: {content['exceptionDetails'].get('exception', content['exceptionDetails'])}"
            )
        elif kind == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"log: {content['entry']['text']} {content['entry'].get('url', '')}")
        elif kind == "Network.requestWillBeSent" and not content["request"]["url"].startswith(
            ("file://", "data:", "about:")
        ):
            self.errors.append(f"request: {content['request']['url'][:200]}")

    def call(self, method, timeout=60, **parameters):
        self.number += 1
        number, message = self.number, {"id": self.number, "method": method, "params": parameters}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer.get("result", {})
            self.note(answer)

    def open(self, path, width=1280, height=900, dark=False, scale=1):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.events.clear()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        deadline = time.monotonic() + 60
        while "Page.loadEventFired" not in self.events:
            self.note(self.receive(deadline))

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, path, whole=False, top=0, height=None):
        clip = {}
        if whole or top or height:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {
                "clip": {
                    "x": 0,
                    "y": top,
                    "width": size["width"],
                    "height": height or size["height"] - top,
                    "scale": 1,
                },
                "captureBeyondViewport": True,
            }
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png", **clip)["data"]))
