"""Workbooks by openpyxl and xlwt, which share nothing with this program; an .ods is put together by hand.

books.py read FILE [SHEET]     prints each row as the list of its values, formulas as such
books.py formats FILE          prints the number formats of the second row
books.py write FILE NAME       writes the workbook NAME
"""

import datetime
import sys
import zipfile

import openpyxl
from openpyxl.utils.datetime import CALENDAR_MAC_1904

MOMENT = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000)
ROWS = [
    ["id", "ratio", "mixed", "flag", "day", "at", "clock", "took", "name", "code"],
    [1, 0.1, 1, True, datetime.date(1900, 3, 1), MOMENT, datetime.time(23, 59, 59), datetime.timedelta(hours=100), "x", "007"],
    [-2, 5, "two", None, None, None, None, None, None, None],
    [2**53, -1.5e-7, 2.5, False, datetime.date(9999, 12, 31), datetime.datetime(1970, 1, 1), datetime.time(6, 0),
     datetime.timedelta(seconds=1), " \"hi\", 雪 😀\n", "7"],
]
NAMESPACES = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ["office", "table", "text"])
NAMESPACES += ' xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'


def put(sheet, rows, top=1, left=1):
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            cell = sheet.cell(top + y, left + x, value)
            if isinstance(value, datetime.timedelta):
                cell.number_format = "[h]:mm:ss"


def types(book):
    put(book.active, ROWS)


def epoch(book):
    book.epoch = CALENDAR_MAC_1904
    put(book.active, [["day", "at"], [datetime.date(1904, 1, 2), MOMENT], [datetime.date(9999, 12, 31), MOMENT]])


def sheets(book):
    book.active.title = "First"
    put(book.active, [["a"], [1]])
    # Blank rows and columns around the table, and one in it.
    other = book.create_sheet("Other one")
    put(other, [["k", None, "v"], [1, None, "x"]], top=3, left=2)
    put(other, [[2, None, "y"]], top=6, left=2)


def merged(book):
    put(book.active, [["Orders of 2024"], ["id", "v"], [1, "x"], [2, "y"]])
    book.active.merge_cells("A1:B1")


def errors(book):
    put(book.active, [["id", "v"], [1, 2.5], [2, "#DIV/0!"]])


def early(book):
    put(book.active, [["day"], [datetime.date(2024, 1, 1)], [datetime.date(1900, 1, 15)]])


def names(book):
    put(book.active, [["id", "id"], [1, 2]])


def blank(_):
    pass


def old(path):
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet("Old")
    day, moment = xlwt.easyxf(num_format_str="yyyy-mm-dd"), xlwt.easyxf(num_format_str="yyyy-mm-dd hh:mm:ss")
    for x, value in enumerate(["id", "ratio", "flag", "day", "at", "name"]):
        sheet.write(0, x, value)
    for x, value in enumerate([7, 0.5, True]):
        sheet.write(1, x, value)
    sheet.write(1, 3, datetime.date(2024, 2, 29), day)
    sheet.write(1, 4, MOMENT.replace(microsecond=0), moment)
    sheet.write(1, 5, "雪")
    book.save(path)


def old_merged(path):
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet("Old")
    sheet.write_merge(0, 0, 0, 1, "Orders of 2024")
    for y, row in enumerate([["id", "v"], [1, "x"]]):
        for x, value in enumerate(row):
            sheet.write(1 + y, x, value)
    book.save(path)


def old_failure(path):
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet("Old")
    for x, value in enumerate(["name", "v"]):
        sheet.write(0, x, value)
    sheet.write(1, 0, "#DIV/0!")
    sheet.row(1).set_cell_error(1, "#DIV/0!")
    book.save(path)


def words(*texts):
    return "".join(f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>' for text in texts)


def open_failure(path):
    # As LibreOffice writes it, beside a text that looks like it.
    failure = ('<table:table-cell table:formula="of:=1/0" office:value-type="string" office:string-value="" '
               'calcext:value-type="error"><text:p>#DIV/0!</text:p></table:table-cell>')
    pack(path, [words("name", "v"), words("#DIV/0!") + failure])


def open_document(path):
    def cell(kind, attribute, value, text=""):
        return f'<table:table-cell office:value-type="{kind}" office:{attribute}="{value}"><text:p>{text}</text:p></table:table-cell>'

    row = (cell("float", "value", "7", "7") + cell("float", "value", "0.5", "0.5") + cell("boolean", "boolean-value", "true", "TRUE")
           + cell("date", "date-value", "2024-02-29", "29.02.24") + cell("date", "date-value", "2024-02-29T12:34:56", "29.02.24")
           + cell("time", "time-value", "PT12H34M56S", "12:34:56") + words("雪"))
    head = words("id", "ratio", "flag", "day", "at", "clock", "name")
    pack(path, [head, row])


def pack(path, rows):
    rows = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    content = (f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {NAMESPACES} office:version="1.2"><office:body>'
               f'<office:spreadsheet><table:table table:name="Open">{rows}</table:table></office:spreadsheet></office:body>'
               '</office:document-content>')
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = ('<?xml version="1.0" encoding="UTF-8"?><manifest:manifest '
                'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.2">'
                f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
                '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", kind, zipfile.ZIP_STORED)
        archive.writestr("content.xml", content, zipfile.ZIP_DEFLATED)
        archive.writestr("META-INF/manifest.xml", manifest, zipfile.ZIP_DEFLATED)


def encrypted(path):
    import msoffcrypto

    book = openpyxl.Workbook()
    put(book.active, [["a"], [1]])
    book.save(path + ".plain")
    with open(path + ".plain", "rb") as plain, open(path, "wb") as out:
        msoffcrypto.OfficeFile(plain).encrypt("secret", out)


def no_workbook(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("orders.csv", "a\n1\n")


def main(command, path, *more):
    if command == "read":
        book = openpyxl.load_workbook(path)
        for row in (book[more[0]] if more else book.active).iter_rows(values_only=True):
            print(list(row))
    elif command == "formats":
        print([cell.number_format for cell in openpyxl.load_workbook(path).active[2]])
    elif command == "write":
        make = globals()[more[0]]
        if make in (old, old_merged, old_failure, open_document, open_failure, encrypted, no_workbook):
            make(path)
        else:
            book = openpyxl.Workbook()
            make(book)
            book.save(path)


main(*sys.argv[1:])
