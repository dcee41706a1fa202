//! What may be said of an endpoint of files.

use crate::connector::{End, OptionDoc, option};

/// Every option, in the order of the help.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "A path, a glob, a folder, - for standard input or output, or a file: URL.").required(),
    option("format", "string", "by extension", "The format; arrow is a file, arrows a stream.")
        .within("csv, tsv, jsonl, parquet, avro, arrow, arrows, xlsx; xls and ods are only read"),
    option(
        "compression",
        "string",
        "by extension; zstd in Parquet, deflate in Avro",
        "The compression of a file that is written: around a text file, within the others. A text file that is read must have it.",
    )
    .within("text: none, gz, zstd, bz2, xz, lz4, snappy, hadoop-snappy, zip; Parquet: none, gz, snappy, zstd; Avro: none, deflate, snappy, zstd; Arrow: none, lz4, zstd"),
    option("level", "integer", "6 for gz, zip and xz, 9 for bz2, 3 for deflate, 1 for zstd", "The effort of the compression.")
        .within("0 to 9 for gz, zip, xz, bz2 and deflate, 1 to 22 for zstd").only(End::Target),
    option("encoding", "string", "utf-8", "The encoding of a text file.")
        .within("utf-8, utf-16, gbk, gb18030, big5, shift-jis, euc-kr, latin1, windows-1252 and all others of the Encoding Standard"),
    option("dateFormat", "string", "as PostgreSQL prints them", "The form of dates and times in a text file.")
        .within("Java's letters, as yyyy-MM-dd HH:mm:ss, or strftime's, as %d.%m.%Y"),
    option("header", "boolean", "true", "Whether the first record of CSV, or row of a sheet, names the columns."),
    option("columnNames", "string", "c1", "What columns of CSV are called that no header names: c1, c2, … or 0, 1, ….")
        .within("c1, 0"),
    option("columnsWhenEmpty", "integer", "", "How many columns CSV without a header has where there is no record. Without it, such a file is an error.").only(End::Source),
    option("skipRecords", "integer", "0", "Records of CSV that are passed over at the start of each file without a header.").only(End::Source),
    option("delimiter", "string", "a comma in CSV, a tab in TSV", "The character between fields.")
        .within("one ASCII character, or tab"),
    option("quote", "string", "\"", "The character around CSV fields.").within("one ASCII character, or none"),
    option("escape", "string", "quotes are doubled", "The character before a quote, and before itself, within CSV quotes.")
        .within("one ASCII character"),
    option("comment", "string", "", "What CSV lines begin with that are no records.").within("one ASCII character"),
    option("trim", "boolean", "false", "Whether spaces and tabs around CSV fields are dropped."),
    option("null", "string", "the empty text; in a sheet a blank cell", "The unquoted CSV text, or text in a sheet, that means NULL."),
    option("dateFormats", "object", "", "The form of dates and times in CSV that is written, by the number of their column from 1, in Java's letters: what it has no place for is left out.").only(End::Target),
    option("shortDecimals", "boolean", "false", "Whether zeros at the end of numbers, and exponents of floats, are left out in CSV that is written.").only(End::Target),
    option("sheet", "string", "the first; written: Sheet1", "The sheet of a workbook, by its name or its number from 1."),
    option("sheets", "list", "", "Further sheets that are written, each when the one before is full.").only(End::Target),
    option("sheetRows", "integer", "1048576", "Rows of a sheet that is written, its header among them, at most.")
        .within("2 to 1048576").only(End::Target),
    option("range", "string", "all", "The cells of a sheet that are read.").within("such as A1:F200 or A:F").only(End::Source),
    option("casts", "object", "", "Column to type: how the text of a column is parsed; on the command line --cast.")
        .within("types of SQL; those of dates and times also with a form of their own, as date('dd.MM.yyyy')"),
    option("allStrings", "boolean", "false", "Whether every column of a text file or a sheet is text."),
    option("loose", "object", "", "Delimited text as other programs take and write it; see below. Not with header, delimiter, quote and null."),
    option("paths", "list", "", "Further paths, globs and folders that are read with it, as if they were one.").only(End::Source),
    option("prefix", "string", "", "The begin of the names of part files in a target folder; other files there are left alone."),
    option("makeFolders", "boolean", "false", "Whether folders above a target are made that are missing.").only(End::Target),
    option("fileBytes", "bytes", "256MB", "The size of the part files in a target folder.").within("1 or more").only(End::Target),
    option("rowGroupRows", "integer", "1048576", "Rows of a Parquet row group, at most.").within("1 or more").only(End::Target),
    option("rowGroupBytes", "bytes", "64MB", "Memory that a Parquet row group takes while it is built, at most.")
        .within("1 or more").only(End::Target),
];
