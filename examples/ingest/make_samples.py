#!/usr/bin/env python3
"""Makes every file in samples/ anew; PROVENANCE.md tells what it makes and with which tools.

Needs pillow, reportlab, fpdf2 and ffmpeg. All words, pictures and sounds are made here; nothing is taken from elsewhere.
With names as arguments it makes only these parts: `make_samples.py documents media`.
"""

import math
import pathlib
import struct
import subprocess
import sys
import zipfile
import zlib

try:
    from fpdf import FPDF
    from PIL import Image, ImageDraw
    from reportlab.lib.pagesizes import A5
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.pdfgen import canvas
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table
except ImportError as missing:
    print(f"only documents and media can be made: {missing}", file=sys.stderr)

HERE = pathlib.Path(__file__).parent / "samples"

COFFERDAM = """A cofferdam is a dry enclosure built in water. Engineers drive sheet piles into the river bed and pump the
water out. Inside the cofferdam, masons lay the foundation of a bridge pier as if on land. If one wall of the
enclosure fails, the workers climb out and the river takes the pit back; the barges around it stay afloat."""

TIDES = """The tide rises and falls twice a day on most coasts. The moon pulls the ocean towards itself, and the earth turns
beneath the bulge. When sun and moon stand in one line, the spring tide is high; at half moon the neap tide is weak.
A tide table tells the captain of a barge when the harbour gate can open."""

HARBOUR = """The harbour master keeps a log of every barge that passes the gate. The log names the captain, the cargo and
the state of the tide. A harbour without a log forgets its debts."""


def put(name, content):
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def flow(text):
    return " ".join(text.split())


def pdfs():
    (HERE / "pdf").mkdir(parents=True, exist_ok=True)
    doc = SimpleDocTemplate(str(HERE / "pdf/cofferdam.pdf"), pagesize=A5, title="On cofferdams", author="Cofferdam", invariant=1)
    style = getSampleStyleSheet()
    doc.build([Paragraph("On cofferdams", style["Title"]), Paragraph(flow(COFFERDAM), style["Normal"]), Spacer(1, 12),
               Paragraph(flow(TIDES), style["Normal"]), Table([["pile", "12 m"], ["pump", "3"], ["pier", "1"]])])

    page = canvas.Canvas(str(HERE / "pdf/three-pages.pdf"), pagesize=A5, invariant=1)
    page.setTitle("Three pages of the harbour log")
    for number, text in enumerate([HARBOUR, TIDES, COFFERDAM], 1):
        page.setFont("Helvetica", 7)
        page.drawString(20, 540, f"Page {number}")
        for line, words in enumerate(text.split("\n")):
            page.drawString(20, 510 - 12 * line, words.strip())
        page.showPage()
    page.save()

    made = FPDF(format="A5")
    made.set_creation_date(__import__("datetime").datetime(2024, 1, 1, tzinfo=__import__("datetime").timezone.utc))
    made.set_title("Écluses et marées")
    made.add_page()
    made.set_font("Helvetica", size=12)
    made.multi_cell(0, 6, "Le bassin à flot se remplit à la marée haute. L'éclusier ouvre la porte quand le niveau du "
                          "bassin égale celui du fleuve. Sans la porte, le bassin se viderait à la marée basse.")
    put("pdf/ecluses.pdf", bytes(made.output()))

    picture = FPDF(format=(60, 40))
    picture.set_creation_date(__import__("datetime").datetime(2024, 1, 1, tzinfo=__import__("datetime").timezone.utc))
    picture.add_page()
    picture.set_fill_color(30, 90, 160)
    picture.rect(5, 5, 50, 30, style="F")
    put("pdf/no-text.pdf", bytes(picture.output()))

    good = (HERE / "pdf/cofferdam.pdf").read_bytes()
    put("malformed/truncated.pdf", good[: len(good) * 2 // 5])
    put("malformed/no-pdf-at-all.pdf", "This only claims to be a PDF. It is a plain sentence.\n")
    put("malformed/bad-xref.pdf", good.replace(b"startxref", b"startxxxx").replace(b"/Root", b"/Rxxt"))
    put("malformed/only-a-header.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    put("malformed/no-media-box.pdf", no_media_box())


def no_media_box():
    """A page tree without a MediaBox: many readers assume one is there."""
    body = b"%PDF-1.4\n"
    offsets = []
    for number, thing in enumerate([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
                                    b"<</Type/Page/Parent 2 0 R/Contents 4 0 R>>", b"<</Length 0>>\nstream\n\nendstream"], 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, thing)
    xref = len(body)
    body += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return body + b"trailer\n<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % xref


def pages():
    put("html/tides.html", f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Tides &amp; gates</title>
<style>p {{ color: navy }}</style><script>document.write("<p>never shown</p>")</script></head>
<body><nav><a href="#a">Start</a> <a href="harbour.html">Harbour</a></nav>
<h1 id="a">Tides</h1><p>{TIDES}</p><h2>Gates</h2><ul><li>lock gate</li><li>sluice gate<li>tide gate</ul>
<!-- a comment with <b>markup</b> --><p>{HARBOUR}</body></html>
""")
    put("html/harbour.htm", f"""<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1252">
<title>Hafen Größe</title></head><body><h1>Der Hafen</h1><p>Der Hafen hat ein Tor. Das Tor öffnet bei Flut. Die
Schiffe fahren bei Flut in den Hafen und warten vor dem Tor. Der Meister führt ein Buch über die Schiffe.</p></body></html>""".encode("cp1252"))
    put("html/table.xhtml", """<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Tide table</title><script src="x.js"/></head><body>
<h1>Tide table</h1><table><tr><th>Day</th><th>High water</th></tr><tr><td>Monday</td><td>06:12</td></tr></table>
</body></html>""")
    put("html/no-title", "<!doctype html><h1>A page without a title or an extension</h1><p>It is still a page, says its first line.")
    put("malformed/nested.html", "<title>Soup</title>" + "<b><i><table><tr><td>" * 2000 + "<p>at the bottom of ten thousand tags" + "</div>" * 500)
    put("malformed/soup.html", "<<<p><a href=x<b>bold</p></a></i><table><p>in a table<td>cell</table><title>late\x00</tit" + "&#xfffffff;&nbsp;&bogus; <p" )


def markdown():
    put("markdown/cofferdam.md", f"""---
title: metadata is not text
---
# Cofferdams

{COFFERDAM}

## Parts

- sheet pile
- [pump](https://example.org/pump)

| part | number |
|------|--------|
| pile | 120    |

```sh
pump --all
```

## See also

The [tide notes](tides.md) and ![a picture](../image/waves.png).
""")
    put("markdown/tides.md", f"Tides\n=====\n\n{TIDES}\n\n> Time and tide wait for no barge.\n\n1. spring tide\n2. neap tide\n")
    put("markdown/harbour.markdown", f"## Harbour log\n\n{HARBOUR}\n\n<div onclick='x()'>raw *markup*</div>\n\nWith ~~struck~~ `code` and a footnote[^1].\n\n[^1]: At the end.\n")
    put("markdown/empty-headings.md", "#\n\n##   \n\njust a paragraph under headings without words\n")


def text():
    put("text/cofferdam.txt", f"Cofferdams\n==========\n\n{COFFERDAM}\n\n{TIDES}\n")
    put("text/utf16-le.txt", b"\xff\xfe" + f"Tide notes\r\n\r\n{TIDES}".encode("utf-16-le"))
    put("text/utf16-be-no-mark.txt", f"Harbour notes\n\n{HARBOUR}".encode("utf-16-be"))
    put("text/latin1.txt", "Écluses\n\nL'éclusier ferme la porte à marée basse. La péniche attend près du bassin jusqu'à l'été.\n".encode("latin-1"))
    put("text/koi8.txt", "Гавань\n\nКапитан баржи ждёт прилива у ворот гавани. Прилив приходит дважды в день, и ворота гавани открываются.\n".encode("koi8-r"))
    put("text/shift-jis.txt", "港の記録\n\n船は満潮のときに門を通ります。満潮は一日に二回あります。港の長は記録を書きます。\n".encode("shift_jis"))
    put("text/utf8-mark.txt", b"\xef\xbb\xbfTitle behind a mark\n\nOne short line.\n")
    put("text/data.csv", "day,high_water,low_water\nmonday,06:12,12:30\ntuesday,07:01,13:20\n")
    put("text/gate.rs", "/// Opens the gate when the levels are equal.\nfn open(basin: u32, river: u32) -> bool {\n    basin == river\n}\n")
    put("text/README", f"The harbour\n\n{HARBOUR}\n")
    put("text/BMW-is-no-bitmap.txt", "BMW starts like a bitmap, but this is a sentence about nothing in particular.\n")
    put("text/100%.txt", "A name with a percent sign.\n")
    put("text/with spaces & [brackets].txt", "A name that Markdown would read as more than a name.\n")
    put("malformed/binary.txt", bytes(zlib.compress(COFFERDAM.encode() * 20, 0)[:300]) + bytes(range(256)) * 4)
    put("malformed/empty.txt", b"")
    put("malformed/invalid-utf8.txt", "Mostly readable: caf".encode() + b"\xc3\x28\xa0\xff\xfe" + " and so on, sentence after sentence.\n".encode())
    put("malformed/escape.txt", "Terminal\x1b[2J\x1b[1;31m tricks \x07and \u202edirection\u202c marks.\n")


def picture(width, height):
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for y in range(height):
        for x in range(width):
            wave = math.sin(x / 17 + math.sin(y / 11) * 2)
            image.putpixel((x, y), (40 + int(20 * wave), 110 + int(60 * wave), 170 + y * 60 // height))
    draw.polygon([(width * 0.3, height * 0.6), (width * 0.7, height * 0.6), (width * 0.6, height * 0.75), (width * 0.4, height * 0.75)], fill=(120, 60, 30))
    draw.line([(width * 0.5, height * 0.6), (width * 0.5, height * 0.2)], fill=(240, 240, 220), width=3)
    return image


def images():
    (HERE / "image").mkdir(parents=True, exist_ok=True)
    waves = picture(160, 100)
    waves.save(HERE / "image/waves.png", optimize=True)
    waves.save(HERE / "image/waves.jpg", quality=80)
    waves.resize((80, 50)).save(HERE / "image/waves-small.jpeg", quality=60)
    waves.save(HERE / "image/waves.webp", quality=70)
    waves.save(HERE / "image/waves-lossless.webp", lossless=True)
    waves.resize((64, 40)).save(HERE / "image/waves.bmp")
    waves.resize((64, 40)).save(HERE / "image/waves.tiff", compression="tiff_lzw")
    waves.convert("RGBA").resize((64, 40)).save(HERE / "image/waves.ico", sizes=[(64, 40)])
    waves.convert("P", palette=Image.Palette.ADAPTIVE, colors=32).save(HERE / "image/waves.gif")
    frames = [picture(40, 30).rotate(9 * i) for i in range(4)]
    frames[0].save(HERE / "image/moving.gif", save_all=True, append_images=frames[1:], duration=120)
    waves.convert("L").resize((70, 90)).save(HERE / "image/grey-portrait.png", optimize=True)
    Image.new("RGBA", (1, 1), (255, 0, 0, 128)).save(HERE / "image/one-pixel.png")
    waves.convert("1").save(HERE / "image/one-bit.png", optimize=True)
    Image.frombytes("I;16", (16, 16), bytes(range(256)) * 2).save(HERE / "image/sixteen-bit.png")
    waves.convert("CMYK").save(HERE / "image/cmyk.jpg", quality=70)
    (HERE / "image/png-called-jpg.jpg").write_bytes((HERE / "image/waves.png").read_bytes())

    jpeg = (HERE / "image/waves.jpg").read_bytes()
    put("malformed/bad.jpg", jpeg[:200] + bytes((i * 73 + 11) & 0xFF for i in range(400)) + jpeg[900:])
    put("malformed/cut.png", (HERE / "image/waves.png").read_bytes()[:700])
    put("malformed/cut.gif", (HERE / "image/waves.gif").read_bytes()[:60])
    put("malformed/cut.webp", (HERE / "image/waves.webp").read_bytes()[:40])
    put("malformed/bomb.png", bomb())
    put("malformed/bad-checksum.png", (HERE / "image/one-pixel.png").read_bytes().replace(b"IEND\xaeB`\x82", b"IEND\x00\x00\x00\x00"))
    put("malformed/sentence.png", "This only claims to be a picture.\n")


def bomb():
    """A header that promises 60,000 by 60,000 pixels, and 1 KiB of data."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 20), 9)) + chunk(b"IEND", b"")


def others():
    put("other/archive.zip", b"PK\x05\x06" + bytes(18))
    put("other/noise.dat", bytes((i * i * 31 + i * 7) & 0xFF for i in range(3000)))


def archive(name, parts, first_stored=False):
    """A zip archive with a fixed time, so that it is the same each time."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as made:
        for number, (part, content) in enumerate(parts):
            info = zipfile.ZipInfo(part, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if first_stored and number == 0 else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            made.writestr(info, content)


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
PROPERTIES = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Log &amp; tides</dc:title><dc:creator>The harbour master</dc:creator></cp:coreProperties>"""
TYPES = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""


def paragraph(text, style=None):
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def word(body):
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:document xmlns:w="{WORD}" xmlns:mc="mc"><w:body>{body}</w:body></w:document>'


def documents():
    body = (paragraph("The harbour in a year of storms", "Title") + paragraph("Tides", "Heading1") + paragraph(flow(TIDES))
            + '<w:p><w:r><w:t>Before </w:t></w:r><w:del><w:r><w:delText>and deleted </w:delText></w:r></w:del>'
              '<w:hyperlink><w:r><w:t>a link</w:t></w:r></w:hyperlink><w:r><w:t>&#228; &lt; b.</w:t></w:r></w:p>'
            + '<w:tbl><w:tr><w:tc><w:p><w:r><w:t>pile</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>12 m</w:t></w:r></w:p></w:tc></w:tr></w:tbl>'
            + '<mc:AlternateContent><mc:Choice>' + paragraph("Said once.") + '</mc:Choice><mc:Fallback>' + paragraph("Said once.")
            + '</mc:Fallback></mc:AlternateContent>' + paragraph("Log", "Heading1") + paragraph(flow(HARBOUR)))
    archive("office/harbour.docx", [("[Content_Types].xml", TYPES), ("docProps/core.xml", PROPERTIES), ("word/document.xml", word(body))])
    archive("office/no-properties.docx", [("[Content_Types].xml", TYPES), ("word/document.xml", word(paragraph("Pumps", "Heading1") + paragraph(flow(COFFERDAM))))])
    good = (HERE / "office/harbour.docx").read_bytes()
    put("malformed/cut.docx", good[: len(good) // 2])
    archive("malformed/no-document.docx", [("[Content_Types].xml", TYPES)])
    archive("malformed/not-xml.docx", [("[Content_Types].xml", TYPES), ("word/document.xml", "<w:p></w:q>")])

    container = """<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
    book = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>Walls in the water</dc:title><dc:creator>C. O. Dam</dc:creator><dc:language>en</dc:language></metadata>
<manifest><item id="two" href="text/second%20chapter.xhtml" media-type="application/xhtml+xml"/>
<item id="one" href="text/first.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="one"/><itemref idref="two"/></spine></package>"""

    def chapter(title, text):
        return f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>{title}</title></head><body><h1>{title}</h1><p>{flow(text)}</p><p><a href="#x">up</a></p></body></html>'

    parts = [("mimetype", "application/epub+zip"), ("META-INF/container.xml", container), ("OEBPS/book.opf", book),
             ("OEBPS/text/first.xhtml", chapter("Cofferdams", COFFERDAM)), ("OEBPS/text/second chapter.xhtml", chapter("Tides", TIDES))]
    archive("office/walls.epub", parts, first_stored=True)
    archive("malformed/missing-chapter.epub", parts[:-1], first_stored=True)
    archive("malformed/no-container.epub", parts[:1] + parts[2:], first_stored=True)
    huge = bytes(20 << 20)
    archive("malformed/bomb.epub", parts[:3] + [("OEBPS/text/first.xhtml", huge)], first_stored=True)


def ffmpeg(name, *arguments):
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-v", "error", "-y", *arguments, "-bitexact", "-map_metadata", "0", str(path)]
    subprocess.run(command, check=True)


def media():
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=22050:duration=1.5"]
    tags = ["-metadata", "title=Fog horn", "-metadata", "artist=Harbour band", "-metadata", "album=Signals"]
    ffmpeg("media/horn.wav", *tone, "-ac", "1")
    ffmpeg("media/horn.mp3", *tone, *tags, "-b:a", "32k")
    ffmpeg("media/horn.flac", *tone, *tags, "-sample_fmt", "s16")
    ffmpeg("media/horn.ogg", *tone, *tags, "-c:a", "libvorbis", "-q:a", "0")
    ffmpeg("media/horn.m4a", *tone, *tags, "-c:a", "aac", "-b:a", "32k")
    ffmpeg("media/horn.opus", *tone, *tags, "-c:a", "libopus", "-b:a", "16k")
    ffmpeg("media/silence.wav", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=stereo", "-t", "0.5")
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1.5"]
    ffmpeg("media/test.mp4", *picture, *tone, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "32k", "-metadata", "title=Test card")
    ffmpeg("media/test.mkv", *picture, *tone, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "flac")
    ffmpeg("media/silent.webm", *picture, "-c:v", "libvpx", "-b:v", "20k")
    good = (HERE / "media/horn.flac").read_bytes()
    put("malformed/garbled.flac", good[:-6000] + bytes((i * 73 + 11) & 0xFF for i in range(3000)) + good[-3000:])
    put("malformed/cut.mp4", (HERE / "media/test.mp4").read_bytes()[:600])
    put("malformed/sentence.mp3", "This only claims to be a song.\n")


if __name__ == "__main__":
    parts = [pdfs, pages, markdown, text, images, others, documents, media]
    for make in parts:
        if len(sys.argv) == 1 or make.__name__ in sys.argv[1:]:
            make()
