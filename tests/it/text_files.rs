//! Text files as other programs make and read them: encodings, compressions, forms of dates and times.

use std::path::Path;

use crate::program::{Ended, bash, copied, etl, refused};
use crate::server::{postgres, psql};

/// Runs Python, which must succeed.
pub(crate) fn python(folder: &Path, script: &str) -> String {
    std::fs::write(folder.join("script.py"), script).unwrap();
    let Ended { code, stdout, stderr } = bash(folder, "python3 script.py");
    assert_eq!((code, stderr.as_str()), (0, ""), "{script}");
    std::fs::remove_file(folder.join("script.py")).unwrap();
    stdout
}

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// Encodings by our name and Python's, with words that they have.
const ENCODINGS: [(&str, &str, &str); 13] = [
    ("gbk", "gbk", "中文"),
    ("gb18030", "gb18030", "中文😀é"),
    ("big5", "big5", "中文"),
    ("shift_jis", "cp932", "日本語"),
    ("euc-kr", "cp949", "한국어"),
    ("euc-jp", "euc_jp", "日本語"),
    // It shifts between tables, and back before the end of a line.
    ("iso-2022-jp", "iso2022_jp", "日本語"),
    ("koi8-r", "koi8-r", "дом"),
    ("iso-8859-15", "iso8859-15", "é€ß"),
    ("latin1", "latin-1", "é\u{85}ß"),
    ("windows-1252", "cp1252", "é…ß"),
    ("utf-16le", "utf-16-le", "a中😀"),
    ("utf-16be", "utf-16-be", "a中😀"),
];

#[test]
fn text_of_every_encoding_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (name, theirs, words) in ENCODINGS {
        let script = format!(
            "rows = 'id,{words}\\n' + ''.join(f'{{i}},\"{words}\\n{{i}}\"\\n' for i in range(50_000))\n\
             open('plain.csv', 'w', encoding='utf-8', newline='').write(rows)\n\
             open('other.csv', 'w', encoding='{theirs}', newline='').write(rows)"
        );
        python(path, &script);
        copied(path, &["other.csv", "out.csv", "--mode", "replace", "--encoding", name]);
        assert_eq!(text(path, "out.csv"), text(path, "plain.csv"), "{name}");
        copied(path, &["plain.csv", "back.csv", "--mode", "replace", "--to-encoding", name, "--verify", "checksum"]);
        assert_eq!(
            std::fs::read(path.join("back.csv")).unwrap(),
            std::fs::read(path.join("other.csv")).unwrap(),
            "{name}"
        );
    }
}

/// As Excel writes them: CR LF behind records, LF within fields. The one behind the last record may be missing.
#[test]
fn rows_that_are_added_to_a_csv_file_end_as_those_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("more.csv"), "id,v\n2,\"x\ny\"\n").unwrap();
    let append = |target: &str, old: &str| {
        std::fs::write(path.join("t.csv"), old).unwrap();
        copied(path, &["more.csv", target, "--mode", "append", "--verify", "checksum"]);
        text(path, "t.csv")
    };
    for (old, both) in [
        ("id,v\r\n1,\"a\nb\"\r\n", "id,v\r\n1,\"a\nb\"\r\n2,\"x\ny\"\r\n"),
        ("id,v\r\n1,a\r\n3,b", "id,v\r\n1,a\r\n3,b\r\n2,\"x\ny\"\r\n"),
        ("id,v\r\n", "id,v\r\n2,\"x\ny\"\r\n"),
        ("id,v\n1,\"a\r\nb\"\n", "id,v\n1,\"a\r\nb\"\n2,\"x\ny\"\n"),
    ] {
        assert_eq!(append("t.csv", old), both);
    }
    let nameless = append("t.csv?header=false", "1,\"a\nb\"\r\n3,c\r\n");
    assert_eq!(nameless, "1,\"a\nb\"\r\n3,c\r\n2,\"x\ny\"\r\n");
    // In pieces, and in another encoding.
    let script = "import gzip\n\
                  open('w.csv', 'wb').write('id,v\\r\\n1,é\\r\\n'.encode('utf-16-le'))\n\
                  gzip.open('g.csv.gz', 'wb').write(b'id,v\\r\\n1,a\\r\\n')";
    python(path, script);
    copied(path, &["more.csv", "w.csv", "--mode", "append", "--to-encoding", "utf-16le"]);
    copied(path, &["more.csv", "g.csv.gz", "--mode", "append"]);
    let script = "import gzip\n\
                  print(ascii(open('w.csv', 'rb').read().decode('utf-16-le')), gzip.open('g.csv.gz').read())";
    let expected = r#"'id,v\r\n1,\xe9\r\n2,"x\ny"\r\n' b'id,v\r\n1,a\r\n2,"x\ny"\r\n'"#;
    assert_eq!(python(path, script).trim_end(), expected);
}

#[test]
fn files_of_a_set_have_types_that_hold_the_values_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let both = |extension: &str, [one, two]: [&str; 2]| {
        std::fs::write(path.join(format!("1.{extension}")), one).unwrap();
        std::fs::write(path.join(format!("2.{extension}")), two).unwrap();
    };
    let objects = [
        (["5", "null"], ["5", ""]),
        (["null", "1.5"], ["", "1.5"]),
        (["5", "1.5"], ["5.0", "1.5"]),
        (["1.25", "7"], ["1.25", "7.00"]),
        (["1.25", "1.125"], ["1.250", "1.125"]),
        (["\"2024-01-02\"", "\"x\""], ["2024-01-02", "x"]),
        (["true", "1"], ["true", "1"]),
        (["{\"b\":1}", "2"], ["\"{\"\"b\"\":1}\"", "2"]),
        (["\"x\"", "[1]"], ["\"\"\"x\"\"\"", "[1]"]),
        (["[1]", "\"x\""], ["[1]", "\"\"\"x\"\"\""]),
    ];
    for ([one, two], [first, second]) in objects {
        let line = |id: u8, value: &str| format!("{{\"id\":{id},\"v\":{value}}}\n");
        both("jsonl", [line(1, one).as_str(), line(2, two).as_str()]);
        copied(path, &["?.jsonl", "out.csv", "--mode", "replace"]);
        assert_eq!(text(path, "out.csv"), format!("id,v\n1,{first}\n2,{second}\n"), "{one} and {two}");
    }
    both("jsonl", ["{\"id\":1,\"old\":true}\n", "{\"new\":2.5,\"id\":2}\n{\"id\":3}\n"]);
    copied(path, &["?.jsonl", "out.csv", "--mode", "replace"]);
    assert_eq!(text(path, "out.csv"), "id,old,new\n1,true,\n2,,2.5\n3,,\n");
    // A header alone, or a column without a value, makes no text of the numbers of others.
    for (files, rows) in [
        (["id,v\n", "id,v\n1,5\n"], "{\"id\":1,\"v\":5}\n"),
        (["id,v\n1,\n", "id,v\n2,5\n"], "{\"id\":1,\"v\":null}\n{\"id\":2,\"v\":5}\n"),
        (["id,v\n1,\n", "id,v\n2,\n"], "{\"id\":1,\"v\":null}\n{\"id\":2,\"v\":null}\n"),
        (["id,v\n1,5\n", "id,v\n2,05\n"], "{\"id\":1,\"v\":\"5\"}\n{\"id\":2,\"v\":\"05\"}\n"),
    ] {
        both("csv", files);
        copied(path, &["?.csv", "out.jsonl", "--mode", "replace"]);
        assert_eq!(text(path, "out.jsonl"), rows, "{files:?}");
    }
}

#[test]
fn the_mark_of_utf_16_is_read_written_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    python(
        path,
        "import codecs\n\
         rows = 'id,name\\n1,中😀\\n'\n\
         open('little.csv', 'wb').write(codecs.BOM_UTF16_LE + rows.encode('utf-16-le'))\n\
         open('big.csv', 'wb').write(codecs.BOM_UTF16_BE + rows.encode('utf-16-be'))\n\
         open('none.csv', 'wb').write(rows.encode('utf-16-be'))\n\
         open('more.csv', 'w', encoding='utf-8').write('id,name\\n2,é\\n')",
    );
    for name in ["little.csv", "big.csv", "none.csv"] {
        copied(path, &[name, "out.csv", "--mode", "replace", "--encoding", "utf-16"]);
        assert_eq!(text(path, "out.csv"), "id,name\n1,中😀\n", "{name}");
    }
    for (name, theirs) in [("little.csv", "utf-16"), ("big.csv", "utf-16"), ("none.csv", "utf-16-be")] {
        copied(path, &["more.csv", name, "--mode", "append", "--to-encoding", "utf-16"]);
        let read = python(path, &format!("print(ascii(open('{name}', encoding='{theirs}').read()))"));
        assert_eq!(read, "'id,name\\n1,\\u4e2d\\U0001f600\\n2,\\xe9\\n'\n", "{name}");
    }
    copied(path, &["out.csv", "new.jsonl", "--to-encoding", "utf-16"]);
    let read = python(path, "print(ascii(open('new.jsonl', encoding='utf-16').read()))");
    assert_eq!(read, "'{\"id\":1,\"name\":\"\\u4e2d\\U0001f600\"}\\n'\n");
    let hint = refused(path, &["little.csv", "x.csv"]);
    assert!(hint.contains("UTF-16") && hint.contains("--encoding"), "{hint}");
}

#[test]
fn what_does_not_fit_an_encoding_is_told_by_its_place_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("bad.csv"), b"id,name\n1,\xd6\xd0\n2,\xff\n").unwrap();
    std::fs::write(path.join("good.csv"), "id,name\n1,é\n2,中\n").unwrap();
    let told = refused(path, &["bad.csv", "out.csv", "--encoding", "gbk"]);
    assert!(told.contains("bad.csv") && told.contains("not GBK from byte 16 of the file on"), "{told}");
    let told = refused(path, &["good.csv", "out.csv", "--to-encoding", "latin1"]);
    assert!(told.contains("column name") && told.contains("row 2") && told.contains("ISO-8859-1 lacks"), "{told}");
    let told = refused(path, &["good.csv", "out.csv", "--encoding", "klingon"]);
    assert!(told.contains("there is no encoding \"klingon\""), "{told}");
    let told = refused(path, &["good.csv", "out.parquet", "--to-encoding", "gbk"]);
    assert!(told.contains("the option encoding is for text files"), "{told}");
    let names = std::fs::read_dir(path).unwrap().count();
    assert_eq!(names, 2);
}

#[test]
fn every_compression_is_read_as_other_programs_write_it_and_written_as_they_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made = python(
        path,
        "import bz2, gzip, lzma, zipfile\n\
         rows = 'id,name\\n' + ''.join(f'{i},name {i % 97}\\n' for i in range(200_000))\n\
         open('plain.csv', 'w').write(rows)\n\
         rows = rows.encode()\n\
         half = len(rows) // 2\n\
         open('a.csv.gz', 'wb').write(gzip.compress(rows[:half]) + gzip.compress(rows[half:]))\n\
         open('a.csv.bz2', 'wb').write(bz2.compress(rows[:half]) + bz2.compress(rows[half:]))\n\
         open('a.csv.xz', 'wb').write(lzma.compress(rows[:half]) + lzma.compress(rows[half:]))\n\
         zipfile.ZipFile('a.csv.zip', 'w', zipfile.ZIP_DEFLATED).writestr('a.csv', rows)\n\
         open('sums.csv.xz', 'wb').write(lzma.compress(rows, check=lzma.CHECK_SHA256, preset=9))\n\
         zipfile.ZipFile('stored.csv.zip', 'w').writestr('a.csv', rows)\n\
         class Pipe:\n\
         \x20   def __init__(self, file): self.file = file\n\
         \x20   def write(self, data): return self.file.write(data)\n\
         \x20   def flush(self): self.file.flush()\n\
         zipfile.ZipFile(Pipe(open('piped.csv.zip', 'wb')), 'w', zipfile.ZIP_DEFLATED).writestr('a.csv', rows)",
    );
    assert_eq!(made, "");
    assert_eq!(bash(path, "lz4 -q plain.csv a.csv.lz4").code, 0);
    let plain = text(path, "plain.csv");
    let names = ["a.csv.gz", "a.csv.bz2", "a.csv.xz", "sums.csv.xz", "a.csv.lz4", "a.csv.zip", "stored.csv.zip"];
    for name in names.into_iter().chain(["piped.csv.zip"]) {
        copied(path, &[name, "out.csv", "--mode", "replace"]);
        assert!(text(path, "out.csv") == plain, "{name}");
        let whole = std::fs::read(path.join(name)).unwrap();
        std::fs::write(path.join("cut.csv"), &whole[..whole.len() - whole.len() / 3]).unwrap();
        let told = refused(path, &["cut.csv", "x.csv"]);
        assert!(told.contains("cut.csv") && told.contains("end too early"), "{name}: {told}");
    }
    for name in ["b.csv.gz", "b.csv.bz2", "b.csv.xz", "b.csv.lz4", "b.csv.zip", "b.csv.sz", "b.csv.zst"] {
        copied(path, &["plain.csv", name, "--verify", "checksum", "-j", "2"]);
        copied(path, &[name, "out.csv", "--mode", "replace"]);
        assert!(text(path, "out.csv") == plain, "{name}");
    }
    copied(path, &["plain.csv", "named.csv", "--compress", "bz2"]);
    let read = python(
        path,
        "import bz2, gzip, lzma, zipfile\n\
         rows = open('plain.csv', 'rb').read()\n\
         zipped = zipfile.ZipFile('b.csv.zip')\n\
         print(gzip.open('b.csv.gz').read() == rows, bz2.open('b.csv.bz2').read() == rows,\n\
               lzma.open('b.csv.xz').read() == rows, bz2.open('named.csv').read() == rows,\n\
               zipped.namelist() == ['b.csv'] and zipped.testzip() is None and zipped.read('b.csv') == rows)",
    );
    assert_eq!(read, "True True True True True\n");
    assert_eq!(bash(path, "lz4 -dcq b.csv.lz4 | cmp - plain.csv").code, 0);
}

#[test]
fn a_zip_file_of_several_files_is_refused_and_so_is_appending_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    python(
        path,
        "import zipfile\n\
         two = zipfile.ZipFile('two.csv.zip', 'w', zipfile.ZIP_DEFLATED)\n\
         two.writestr('a.csv', 'id\\n1\\n')\n\
         two.writestr('b.csv', 'id\\n2\\n')\n\
         two.close()\n\
         one = zipfile.ZipFile('one.csv.zip', 'w', zipfile.ZIP_DEFLATED)\n\
         one.writestr('data/', '')\n\
         one.writestr('data/a.csv', 'id\\n1\\n')\n\
         one.close()",
    );
    let told = refused(path, &["two.csv.zip", "out.csv"]);
    assert!(told.contains("two.csv.zip") && told.contains("the zip file holds several files"), "{told}");
    assert!(!path.join("out.csv").exists());
    copied(path, &["one.csv.zip", "out.csv"]);
    assert_eq!(text(path, "out.csv"), "id\n1\n");
    let told = refused(path, &["out.csv", "one.csv.zip", "--mode", "append"]);
    assert!(told.contains("rows cannot be added to a file of zip"), "{told}");
    let told = refused(path, &["out.csv?compression=bz2", "x.csv"]);
    assert!(told.contains("it is said to be compressed with bz2, and is not"), "{told}");
}

#[test]
fn dates_have_the_form_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let file = "id,at,day\n1,31.12.2024 23:59:58,12/31/24\n2,,\n";
    std::fs::write(path.join("a.csv"), file).unwrap();
    let day = "day:date('MM/dd/yy')";
    copied(path, &["a.csv", "iso.csv", "--date-format", "dd.MM.yyyy HH:mm:ss", "--cast", day]);
    assert_eq!(text(path, "iso.csv"), "id,at,day\n1,2024-12-31 23:59:58,2024-12-31\n2,,\n");
    copied(path, &["a.csv", "a.parquet", "--date-format", "%d.%m.%Y %T", "--cast", day]);
    copied(path, &["a.parquet", "b.csv", "--date-format", "dd.MM.yyyy HH:mm:ss", "--verify", "checksum"]);
    assert_eq!(text(path, "b.csv"), "id,at,day\n1,31.12.2024 23:59:58,31.12.2024 00:00:00\n2,,\n");
    copied(path, &["a.parquet", "b.jsonl", "--date-format", "%Y%m%d%H%M%S"]);
    assert!(text(path, "b.jsonl").starts_with("{\"id\":1,\"at\":\"20241231235958\",\"day\":\"20241231000000\"}\n"));
    let told = refused(path, &["a.parquet", "c.csv", "--date-format", "yyyy-MM-dd"]);
    assert!(told.contains("column at") && told.contains("row 1") && told.contains("no place"), "{told}");
    let told = refused(path, &["a.csv", "c.csv", "--date-format", "yyyy-QQ-dd"]);
    assert!(told.contains("no meaning for \"QQ\""), "{told}");
    let told = refused(path, &["a.csv", "c.csv", "--cast", "at:timestamp('dd/MM/yyyy HH:mm:ss')"]);
    assert!(told.contains("line 2") && told.contains("column at"), "{told}");
    let told = refused(path, &["a.parquet", "c.csv", "--cast", "id:date('yyyyMMdd')"]);
    assert!(told.contains("for columns of text files"), "{told}");
    let shown = etl(path, &["schema", "a.csv", "--date-format", "dd.MM.yyyy HH:mm:ss"]);
    assert!(shown.code == 0 && shown.stdout.contains("Timestamp"), "{shown:?}");
}

#[test]
fn comments_and_blanks_of_csv_are_left_out_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("a.csv"), "# made \"today\nid , name\n1 , \"a b\" \n# end\n2,c\n").unwrap();
    copied(path, &["a.csv?comment=%23&trim=true", "out.csv"]);
    assert_eq!(text(path, "out.csv"), "id,name\n1,a b\n2,c\n");
}

/// Snappy after its published format, and the blocks around it after Hadoop's `BlockCompressorStream`: literals alone are written, all
/// is read.
const HADOOP_SNAPPY: &str = r"
def chunk(data):
    out, length = bytearray(), len(data)
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    for at in range(0, len(data), 60):
        part = data[at:at + 60]
        out += bytes([len(part) - 1 << 2]) + part
    return bytes(out)

def word(number):
    return number.to_bytes(4, 'big')

def raw(chunk):
    at = shift = length = 0
    while True:
        byte = chunk[at]
        at, length, shift = at + 1, length | (byte & 127) << shift, shift + 7
        if byte < 128:
            break
    out = bytearray()
    while at < len(chunk):
        tag = chunk[at]
        at += 1
        if tag & 3 == 0:
            size = tag >> 2
            if size >= 60:
                more = size - 59
                size, at = int.from_bytes(chunk[at:at + more], 'little'), at + more
            out += chunk[at:at + size + 1]
            at += size + 1
            continue
        more = {1: 1, 2: 2, 3: 4}[tag & 3]
        far = int.from_bytes(chunk[at:at + more], 'little')
        at += more
        size = (tag >> 2) + 1
        if tag & 3 == 1:
            size, far = (tag >> 2 & 7) + 4, far | tag >> 5 << 8
        for _ in range(size):
            out.append(out[-far])
    assert len(out) == length
    return bytes(out)

def read(data):
    at, out = 0, b''
    while at < len(data):
        left = int.from_bytes(data[at:at + 4], 'big')
        at += 4
        while left:
            size = int.from_bytes(data[at:at + 4], 'big')
            part = raw(data[at + 4:at + 4 + size])
            at, left, out = at + 4 + size, left - len(part), out + part
    return out
";

#[test]
fn snappy_in_the_blocks_of_hadoop_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let script = "rows = ''.join(f'{i},name {i % 97}\\n' for i in range(20_000)).encode()\n\
         open('plain.csv', 'wb').write(b'id,name\\n' + rows)\n\
         one, two = chunk(rows[:70_000]), chunk(rows[70_000:])\n\
         blocks = word(8) + word(len(chunk(b'id,name\\n'))) + chunk(b'id,name\\n') + word(0)\n\
         blocks += word(len(rows)) + word(len(one)) + one + word(len(two)) + two\n\
         open('part.snappy', 'wb').write(blocks)";
    python(path, &format!("{HADOOP_SNAPPY}{script}"));
    let said = "part.snappy?format=csv&compression=hadoop-snappy";
    copied(path, &[said, "out.csv"]);
    assert!(text(path, "out.csv") == text(path, "plain.csv"));
    // It has no magic: nothing but its name tells that it is no text.
    let told = refused(path, &["part.snappy?format=csv", "x.csv"]);
    assert!(told.contains("compression=hadoop-snappy"), "{told}");
    copied(path, &["plain.csv", "a.csv", "--compress", "hadoop-snappy", "--verify", "checksum", "-j", "2"]);
    copied(path, &["plain.csv", "a.csv?compression=hadoop-snappy", "--mode", "append"]);
    let script = "print(read(open('a.csv', 'rb').read()) == open('plain.csv', 'rb').read() + rows())\n";
    let rows = "def rows():\n    return open('plain.csv', 'rb').read().split(b'\\n', 1)[1]\n";
    assert_eq!(python(path, &format!("{HADOOP_SNAPPY}{rows}{script}")), "True\n");
    let told = refused(path, &["plain.csv?compression=hadoop-snappy", "x.csv"]);
    assert!(told.contains("plain.csv") && told.contains("compressed data"), "{told}");
}

/// What PostgreSQL writes with its ESCAPE is read, and what is written it reads.
#[test]
fn quotes_within_quotes_are_escaped_as_postgres_does_it() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    let rows = "values (1, E'a\"b\\\\c'), (2, E'\\\\'), (3, E'x,\"\\\\\"\\n'), (4, E'\\\\n'), (5, ''), (6, null), (7, E'\\\\\"')";
    psql(&url, &format!("create table t (id int, v text); insert into t {rows}; create table u (like t)"));
    let copied_out = psql(&url, r"copy (select * from t order by id) to stdout with (format csv, header, escape '\')");
    std::fs::write(path.join("theirs.csv"), format!("{copied_out}\n")).unwrap();
    copied(path, &["theirs.csv", "plain.csv", "--escape", r"\"]);
    let plain = psql(&url, "copy (select * from t order by id) to stdout with (format csv, header)");
    assert_eq!(text(path, "plain.csv"), format!("{plain}\n"));
    copied(path, &["plain.csv", "ours.csv?escape=%5C", "--verify", "checksum"]);
    let file = path.join("ours.csv");
    psql(&url, &format!(r"\copy u from '{}' with (format csv, header, escape '\')", file.display()));
    assert_eq!(psql(&url, "select count(*) from (table t except table u) x"), "0");
    copied(path, &["plain.csv", "single.csv?quote='", "--quote", "\""]);
    assert!(text(path, "single.csv").contains("'x,\"\\\"\n'"), "{}", text(path, "single.csv"));
}
