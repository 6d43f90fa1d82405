"""The processor `conformant` of crates/testkit in Python, on the worker library of examples/python-worker."""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[4] / "examples" / "python-worker"))

from cofferdam_worker import Failure, Panic, serve  # noqa: E402


class Conformant:
    NAME, VERSION = "conformant", 1

    def start(self, config, cx):
        if config["start_failure"] is not None:
            raise Failure(config["start_failure"], kind=5)

    def process(self, item, cx):
        deed, argument = (item, None) if isinstance(item, str) else next(iter(item.items()))
        return getattr(self, deed)(argument, cx)

    def Echo(self, number, cx):
        return str(number)

    def Repeat(self, what, cx):
        return what["text"] * what["times"]

    def Fail(self, what, cx):
        raise Failure(what["message"], kind=what["kind"], retry_after_ms=1500)

    def Wait(self, _, cx):
        cx.stage("decode")
        cx.progress(3, 14)
        cx.message("page 3")
        cx.breadcrumb("opened")
        cx.breadcrumb("parsed")
        while True:
            cx.check()
            time.sleep(0.001)

    def Save(self, text, cx):
        cx.save_state(text.encode())
        raise Failure("saved", kind=1)

    def Recall(self, _, cx):
        return f"{cx.attempt}:{(cx.saved_state or b'').decode()}"

    def Scratch(self, _, cx):
        scratch = cx.scratch_dir()
        open(os.path.join(scratch, "page"), "x").close()
        return scratch

    def Write(self, what, cx):
        with cx.output_writer() as writer:
            for _ in range(what["times"]):
                writer.write(what["text"].encode())
            file = writer.finish()
        return f"{file['index']}:{file['len']}"

    def WriteTwice(self, what, cx):
        with cx.output_writer() as writer:
            writer.write(what["forgotten"].encode())
            writer.flush()
        return self.Write({"text": what["kept"], "times": 1}, cx)

    def WriteThen(self, what, cx):
        self.Write({"text": what[0], "times": 1}, cx)
        return self.process(what[1], cx)

    def Panic(self, message, cx):
        raise Panic(message)

    def Exit(self, code, cx):
        os._exit(code)

    def Hang(self, _, cx):
        while True:
            time.sleep(3600)


serve(Conformant)
