#!/usr/bin/env python3
"""Counts words: the smallest useful worker in Python. See README.md for the host beside it."""

from cofferdam_worker import Failure, serve


class Words:
    NAME, VERSION = "words", 1

    def start(self, config, cx):
        self.shortest = config["shortest"]

    def process(self, item, cx):
        cx.stage("read")
        try:
            with open(item["path"], encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise Failure(f"{item['path']}: {error.strerror}") from None
        cx.stage("count")
        words = [word for word in text.split() if len(word) >= self.shortest]
        return {"words": len(words), "distinct": len(set(words))}


if __name__ == "__main__":
    serve(Words)
