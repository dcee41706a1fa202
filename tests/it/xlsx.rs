//! Workbooks between this program and openpyxl and xlwt, which share nothing with it: each reads what the other wrote.

use std::path::Path;
use std::process::Command;

use crate::program::{bash, copied, etl, refused};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/xlsx/books.py");

/// Runs openpyxl in `folder`; see the script for its commands.
pub(crate) fn openpyxl(folder: &Path, words: &[&str]) -> String {
    let Ok(python) = std::env::var("ETL_TEST_PYTHON") else {
        panic!("this test needs a Python with openpyxl: run it by `tests/run`, which makes one");
    };
    let output = Command::new(python).arg(SCRIPT).args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with workbooks of openpyxl, each named as what is in it.
fn books(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        openpyxl(folder.path(), &["write", &format!("{name}.xlsx"), name]);
    }
    folder
}

/// What a copy of `source` into a new text file is.
fn text(folder: &Path, source: &str, extension: &str, more: &[&str]) -> String {
    let target = format!("out.{extension}");
    copied(folder, &[&[source, &target, "--mode", "replace"], more].concat());
    std::fs::read_to_string(folder.join(target)).unwrap()
}

#[test]
fn openpyxl_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rows = "id,flag,ratio,price,name,day,at,clock,zoned,list\n\
        1,true,0.1,-12345678.9012,\"say \"\"hi\"\", 雪 😀\",1900-03-01,2024-02-29 12:34:56.789,23:59:59,2024-02-29 12:00:00+00:00,007\n\
        2,,,,,,,,,\n\
        9007199254740992,false,-123456.75,0.0001,\"\",9999-12-31,1969-12-31 23:59:59,00:00:00,1970-01-01 00:00:00+00:00,=1+1\n";
    std::fs::write(path.join("a.csv"), rows).unwrap();
    let casts = ["--cast", "price:decimal(14,4)", "--cast", "list:text"];
    copied(path, &[&["a.csv", "a.xlsx?sheet=Data", "--verify", "checksum"], casts.as_slice()].concat());
    // The empty text is a formula that gives one, as a blank cell is NULL.
    let expected = "['id', 'flag', 'ratio', 'price', 'name', 'day', 'at', 'clock', 'zoned', 'list']\n\
        [1, True, 0.1, -12345678.9012, 'say \"hi\", 雪 😀', datetime.datetime(1900, 3, 1, 0, 0), \
        datetime.datetime(2024, 2, 29, 12, 34, 56, 789000), datetime.time(23, 59, 59), '2024-02-29 12:00:00+00:00', '007']\n\
        [2, None, None, None, None, None, None, None, None, None]\n\
        [9007199254740992, False, -123456.75, 0.0001, '=\"\"', datetime.datetime(9999, 12, 31, 0, 0), \
        datetime.datetime(1969, 12, 31, 23, 59, 59), datetime.time(0, 0), '1970-01-01 00:00:00+00:00', '=1+1']\n";
    assert_eq!(openpyxl(path, &["read", "a.xlsx", "Data"]), expected);
    let formats = "['General', 'General', 'General', 'General', 'General', 'yyyy-mm-dd', 'yyyy-mm-dd hh:mm:ss.000', \
        'hh:mm:ss.000', 'General', 'General']\n";
    assert_eq!(openpyxl(path, &["formats", "a.xlsx"]), formats);
    // And back: but for the numbers, which have no zeros behind the point.
    assert_eq!(text(path, "a.xlsx#Data", "csv", &["--cast", "price:decimal(14,4)"]), rows);
}

#[test]
fn workbooks_of_openpyxl_are_read_with_their_types() {
    let folder = books(&["types", "epoch"]);
    let path = folder.path();
    let expected = "{\"id\":1,\"ratio\":0.1,\"mixed\":\"1\",\"flag\":true,\"day\":\"1900-03-01\",\"at\":\"2024-02-29 12:34:56.789\",\
        \"clock\":\"23:59:59\",\"took\":\"100:00:00\",\"name\":\"x\",\"code\":\"007\"}\n\
        {\"id\":-2,\"ratio\":5.0,\"mixed\":\"two\",\"flag\":null,\"day\":null,\"at\":null,\"clock\":null,\"took\":null,\"name\":null,\"code\":null}\n\
        {\"id\":9007199254740992,\"ratio\":-1.5e-7,\"mixed\":\"2.5\",\"flag\":false,\"day\":\"9999-12-31\",\"at\":\"1970-01-01 00:00:00\",\
        \"clock\":\"06:00:00\",\"took\":\"00:00:01\",\"name\":\" \\\"hi\\\", 雪 😀\\n\",\"code\":\"7\"}\n";
    assert_eq!(text(path, "types.xlsx", "jsonl", &[]), expected);
    let strings = text(path, "types.xlsx", "jsonl", &["--all-strings", "--select", "id,day"]);
    let expected = "{\"id\":\"1\",\"day\":\"1900-03-01\"}\n{\"id\":\"-2\",\"day\":null}\n\
        {\"id\":\"9007199254740992\",\"day\":\"9999-12-31\"}\n";
    assert_eq!(strings, expected);
    let dates = "day,at\n1904-01-02,2024-02-29 12:34:56.789\n9999-12-31,2024-02-29 12:34:56.789\n";
    assert_eq!(text(path, "epoch.xlsx", "csv", &[]), dates);
}

#[test]
fn sheets_ranges_and_headers_are_chosen() {
    let folder = books(&["sheets", "merged"]);
    let path = folder.path();
    assert_eq!(text(path, "sheets.xlsx", "csv", &[]), "a\n1\n");
    for source in
        ["sheets.xlsx#Other one", "sheets.xlsx?sheet=2", "sheets.xlsx?sheet=Other%20one", "file:sheets.xlsx#2"]
    {
        // Column C has no name, and row 5 nothing.
        assert_eq!(text(path, source, "csv", &[]), "k,C,v\n1,,x\n2,,y\n", "{source}");
    }
    assert_eq!(text(path, "sheets.xlsx?range=B4:B6#2", "csv", &["--no-header"]), "B\n1\n2\n");
    assert_eq!(text(path, "sheets.xlsx?range=D:E&header=false#2", "csv", &[]), "D,E\nv,\nx,\ny,\n");
    assert_eq!(text(path, "merged.xlsx?range=A2:B4", "csv", &[]), "id,v\n1,x\n2,y\n");
}

/// What a locator may say can be said by flags, too, and stands in the job file.
#[test]
fn flags_choose_what_locators_choose() {
    let folder = books(&["sheets"]);
    let path = folder.path();
    let flags = ["--sheet", "Other one", "--range", "B4:B6", "--no-header"];
    assert_eq!(text(path, "sheets.xlsx", "csv", &flags), "B\n1\n2\n");
    let options = ["--from-option", "sheet=2", "--from-option", "range=D:E", "--from-option", "header=false"];
    assert_eq!(text(path, "sheets.xlsx", "csv", &options), "D,E\nv,\nx,\ny,\n");
    let written = ["sheets.xlsx", "out.xlsx", "--to-option", "sheet=Orders", "--to-option", "header=false"];
    copied(path, &written);
    assert_eq!(openpyxl(path, &["read", "out.xlsx", "Orders"]), "[1]\n");
    assert_eq!(etl(path, &["count", "sheets.xlsx", "--sheet", "2"]).stdout, "2\n");
    assert_eq!(etl(path, &["head", "sheets.xlsx", "--from-option", "range=B3:B5", "--sheet", "2"]).stdout, "k\n1\n");
    let schema = etl(path, &["schema", "sheets.xlsx", "--sheet", "2", "--range", "D:D", "--as", "arrow"]);
    assert_eq!(schema.stdout, "v: Utf8\n");
    let emitted = bash(
        path,
        "$ETL copy sheets.xlsx job.csv --sheet 2 --range B3:D6 --to-option delimiter=';' --to-option null=- --emit-job \
         > job.json && $ETL run -q job.json",
    );
    assert_eq!((emitted.code, emitted.stderr.as_str()), (0, ""));
    assert_eq!(std::fs::read_to_string(path.join("job.csv")).unwrap(), "k;C;v\n1;-;x\n2;-;y\n");
    for (words, says) in [
        (vec!["sheets.xlsx?sheat=2", "x.csv"], ["file has no option \"sheat\"", "did you mean 'sheet'?"]),
        (vec!["sheets.xlsx", "x.csv?range=A:B"], ["range is for what is read", "say it of the source"]),
        (vec!["sheets.xlsx?fileBytes=1MB", "x.csv"], ["fileBytes is for what is written", "say it of the target"]),
        (vec!["sheets.xlsx", "x.csv", "--to-option", "sheet=A"], ["the option sheet is for workbooks", "this is CSV"]),
        (vec!["job.csv", "x.parquet", "--sheet", "A"], ["--sheet is for workbooks", "leave --sheet out"]),
        (vec!["job.csv", "x.xlsx", "--range", "A:B"], ["--range is for workbooks", "the source is none"]),
        (vec!["job.csv", "x.csv", "--from-option", "sheet"], ["option --from-option", "KEY=VALUE"]),
    ] {
        let told = refused(path, &words);
        assert!(says.iter().all(|part| told.contains(part)), "{words:?}: {told}");
    }
}

#[test]
fn old_and_open_workbooks_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    openpyxl(path, &["write", "a.xls", "old"]);
    openpyxl(path, &["write", "a.ods", "open_document"]);
    let old = "id,ratio,flag,day,at,name\n7,0.5,true,2024-02-29,2024-02-29 12:34:56,雪\n";
    assert_eq!(text(path, "a.xls", "csv", &[]), old);
    assert_eq!(text(path, "a.xls#Old", "csv", &[]), old);
    openpyxl(path, &["write", "merged.xls", "old_merged"]);
    let told = refused(path, &["merged.xls", "x.csv"]);
    assert!(told.contains("cells are merged") && told.contains("A1:B1"), "{told}");
    assert_eq!(text(path, "merged.xls?range=A2:B3", "csv", &[]), "id,v\n1,x\n");
    // What a formula could not compute is no text.
    openpyxl(path, &["write", "failed.xls", "old_failure"]);
    openpyxl(path, &["write", "failed.ods", "open_failure"]);
    for source in ["failed.xls", "failed.ods"] {
        let told = refused(path, &[source, "x.csv"]);
        assert!(told.contains("the cell holds the error #DIV/0!") && told.contains("cell B2"), "{told}");
        assert_eq!(text(path, source, "csv", &["--range", "A1:A2"]), "name\n#DIV/0!\n");
    }
    let open = "id,ratio,flag,day,at,clock,name\n7,0.5,true,2024-02-29,2024-02-29 12:34:56,12:34:56,雪\n";
    assert_eq!(text(path, "a.ods#Open", "csv", &[]), open);
}

#[test]
fn tasks_pipes_and_folders_give_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let lines: Vec<String> = (0..30_000).map(|id| format!("{id},name {id}\n")).collect();
    std::fs::write(path.join("a.csv"), format!("id,name\n{}", lines.concat())).unwrap();
    copied(path, &["a.csv", "a.xlsx", "-j", "2", "--verify", "checksum"]);
    let read = openpyxl(path, &["read", "a.xlsx"]);
    let expected: Vec<String> = (0..30_000).map(|id| format!("[{id}, 'name {id}']\n")).collect();
    assert!(read == format!("['id', 'name']\n{}", expected.concat()), "the rows are others");
    let piped = bash(
        path,
        "$ETL copy -q a.csv - --to-format xlsx > b.xlsx && $ETL copy -q - b.csv --from-format xlsx < b.xlsx",
    );
    assert_eq!((piped.code, piped.stderr.as_str()), (0, ""));
    assert!(std::fs::read(path.join("a.csv")).unwrap() == std::fs::read(path.join("b.csv")).unwrap());
    copied(
        path,
        &["a.csv", "parts/", "--to-format", "xlsx", "--file-bytes", "100KB", "-j", "2", "--verify", "checksum"],
    );
    copied(path, &["parts/", "c.csv"]);
    let sorted = bash(path, "sort a.csv | sha1sum; sort c.csv | sha1sum");
    let sums: Vec<&str> = sorted.stdout.lines().collect();
    assert_eq!(sums[0], sums[1]);
    // A table without rows has its columns.
    copied(path, &["a.csv", "empty.xlsx", "--where", "id < 0"]);
    assert_eq!(openpyxl(path, &["read", "empty.xlsx"]), "['id', 'name']\n");
}

/// Each workbook of a folder is filled and the next one begun, whatever the rows of a batch.
#[test]
fn a_folder_has_as_many_workbooks_as_its_rows_take() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let lines: Vec<String> = (0..2500).map(|id| format!("{id}\n")).collect();
    std::fs::write(path.join("a.csv"), format!("id\n{}", lines.concat())).unwrap();
    let cases: [(&str, &str, &[&str], &[usize]); 3] = [
        ("one", "one/?sheetRows=1000", &["Sheet1"], &[999, 999, 502]),
        ("bare", "bare/?sheetRows=1000&header=false", &["Sheet1"], &[1000, 1000, 500]),
        ("two", "two/?sheetRows=501&sheet=A&sheets=B", &["A", "B"], &[500, 500, 500, 500, 500]),
    ];
    for (name, target, sheets, wanted) in cases {
        copied(path, &["a.csv", target, "--to-format", "xlsx", "-j", "1"]);
        let mut books: Vec<_> =
            std::fs::read_dir(path.join(name)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        books.sort();
        let mut rows = Vec::new();
        let mut counts = Vec::new();
        for (book, sheet) in books.iter().flat_map(|book| sheets.iter().map(move |sheet| (book, sheet))) {
            let book = format!("{name}/{}", book.to_str().unwrap());
            // The last workbook has no second sheet where its rows end in the first.
            if counts.len() == wanted.len() {
                continue;
            }
            let read = openpyxl(path, &["read", &book, sheet]);
            let of_sheet: Vec<&str> = read.lines().filter(|line| *line != "['id']").collect();
            counts.push(of_sheet.len());
            rows.extend(of_sheet.into_iter().map(str::to_owned));
        }
        assert_eq!((counts.as_slice(), books.len()), (wanted, wanted.len().div_ceil(sheets.len())), "{target}");
        assert!(rows == (0..2500).map(|id| format!("[{id}]")).collect::<Vec<_>>(), "{target}: the rows are others");
    }
}

#[test]
fn workbooks_that_cannot_be_read() {
    let folder = books(&["sheets", "merged", "errors", "early", "names", "blank", "encrypted", "no_workbook"]);
    let path = folder.path();
    std::fs::write(path.join("text.xlsx"), "a,b\n1,2\n").unwrap();
    for (source, says) in [
        ("merged.xlsx", ["cells are merged", "A1:B1"]),
        ("errors.xlsx", ["#DIV/0!", "B3"]),
        ("early.xlsx", ["1900-03-01", "A3"]),
        ("names.xlsx", ["names this column twice", "id"]),
        ("blank.xlsx", ["the sheet is blank", "Sheet"]),
        ("encrypted.xlsx", ["the workbook is encrypted", "password"]),
        ("no_workbook.xlsx", ["it is no workbook", "no_workbook.xlsx"]),
        ("text.xlsx", ["does not hold an Excel workbook", "text.xlsx"]),
        ("sheets.xlsx#Nope", ["no sheet \"Nope\"", "First, Other one"]),
        ("sheets.xlsx?range=A0:B1", ["no range of cells", "A1:F200"]),
        ("sheets.xlsx?delimiter=;", ["the option delimiter is for CSV and TSV", "sheets.xlsx"]),
    ] {
        let told = refused(path, &[source, "out.csv"]);
        for part in says {
            assert!(told.contains(part), "{source}: {told}");
        }
        assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{told}");
        assert!(!path.join("out.csv").exists(), "{source}");
    }
}

#[test]
fn what_a_workbook_does_not_hold_is_refused_and_nothing_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("long.csv"), "id,v\n1,2\n2,9007199254740993\n").unwrap();
    std::fs::write(path.join("old.csv"), "id,v\n1,1899-12-31\n").unwrap();
    std::fs::write(path.join("raw.csv"), "id,v\n1,\\x00\n").unwrap();
    for (words, says) in [
        (vec!["long.csv", "a.xlsx"], ["9007199254740992", "--cast v:text"]),
        (vec!["long.csv", "a.xlsx", "--cast", "v:decimal(20,2)"], ["15 digits", "--cast v:text"]),
        (vec!["old.csv", "a.xlsx"], ["1900-03-01", "--cast v:text"]),
        (
            vec!["raw.csv", "a.xlsx", "--cast", "v:bytea"],
            ["a workbook cannot hold a column of type Binary", "column v"],
        ),
        (vec!["long.csv", "a.xls"], ["is only read", ".xlsx"]),
        (vec!["long.csv", "a.xlsx?sheet=a%5Bb"], ["no sheet can be named", "a[b"]),
    ] {
        let told = refused(path, &words);
        for part in says {
            assert!(told.contains(part), "{words:?}: {told}");
        }
    }
    let mut left: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["long.csv", "old.csv", "raw.csv"]);
    copied(path, &["long.csv", "a.xlsx", "--cast", "v:text"]);
    assert_eq!(openpyxl(path, &["read", "a.xlsx"]), "['id', 'v']\n[1, '2']\n[2, '9007199254740993']\n");
    let bytes = std::fs::read(path.join("a.xlsx")).unwrap();
    let again = etl(path, &["copy", "-q", "long.csv", "a.xlsx", "--mode", "append"]);
    assert!(again.code != 0 && again.stderr.contains("rows cannot be appended to a workbook"), "{}", again.stderr);
    assert!(std::fs::read(path.join("a.xlsx")).unwrap() == bytes);
}
