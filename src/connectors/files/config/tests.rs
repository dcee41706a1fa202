use serde_json::{Value as Json, json};

use super::*;

#[test]
fn a_delimiter_that_is_named_holds_in_every_format() {
    let separated = |options: Json, format: Format| {
        let schema = arrow::datatypes::Schema::new(vec![
            arrow::datatypes::Field::new("a", arrow::datatypes::DataType::Utf8, true),
            arrow::datatypes::Field::new("b", arrow::datatypes::DataType::Utf8, true),
        ]);
        let records = Config::parse(&options).unwrap().records(format).unwrap();
        String::from_utf8(records.header(&Arc::new(schema)).unwrap()).unwrap()
    };
    assert_eq!(separated(json!({"url": "t"}), Format::Tsv), "a\tb\n");
    assert_eq!(separated(json!({"url": "t", "delimiter": ","}), Format::Tsv), "a,b\n");
    assert_eq!(separated(json!({"url": "t", "format": "tsv", "delimiter": ","}), Format::Tsv), "a,b\n");
    assert_eq!(separated(json!({"url": "t"}), Format::Csv), "a,b\n");
    let config = Config::parse(&json!({"url": "t", "null": "-"})).unwrap();
    assert_eq!(config.check(Format::Parquet).unwrap_err().kind(), ErrorKind::Usage);
    assert!(config.check(Format::Tsv).is_ok() && config.check(Format::Xlsx).is_ok());
    let sheet = Config::parse(&json!({"url": "t", "sheet": 2, "range": "A:F", "header": false})).unwrap();
    assert_eq!(sheet.sheets().sheet.as_deref(), Some("2"));
    assert!(sheet.check(Format::Xls).is_ok());
    assert_eq!(sheet.check(Format::Csv).unwrap_err().message(), "the option sheet is for workbooks, and this is CSV");
    assert_eq!(sheet.workbook(Format::Ods).unwrap_err().kind(), ErrorKind::Unsupported);
    let encoded = Config::parse(&json!({"url": "t", "encoding": "gbk"})).unwrap();
    assert!(encoded.check(Format::Jsonl).is_ok() && encoded.check(Format::Parquet).is_err());
    assert!(encoded.check(Format::Xlsx).is_err());
    let grouped = Config::parse(&json!({"url": "t", "rowGroupRows": 9})).unwrap();
    assert!(grouped.check(Format::Parquet).is_ok());
    assert_eq!(
        grouped.check(Format::Avro).unwrap_err().message(),
        "the option rowGroupRows is for Parquet, and this is Avro"
    );
}

#[test]
fn options_are_checked() {
    let parse = |options: Json| Config::parse(&options).map_err(|error| error.kind());
    assert_eq!(parse(json!({"url": "file:///tmp/a%20b.csv"})).unwrap().place, Place::Path("/tmp/a b.csv".into()));
    assert_eq!(parse(json!({"url": "-", "fileBytes": "16 MB"})).unwrap().file_bytes, Some(16_000_000));
    assert_eq!(parse(json!({"url": "-"})).unwrap().part_bytes(), 256_000_000);
    for wrong in [
        json!({"url": ""}),
        json!({"url": "a", "nonsense": 1}),
        json!({"url": "a", "format": "xml"}),
        json!({"url": "a", "compression": "rar"}),
        json!({"url": "a", "delimiter": "ab"}),
        json!({"url": "a", "fileBytes": "many"}),
        json!({"url": "a", "encoding": "klingon"}),
        json!({"url": "a", "dateFormat": "yyyy-QQ"}),
        json!({"url": "a", "casts": {"d": "int('yyyy-MM-dd')"}}),
        json!({"url": "a", "comment": "//"}),
    ] {
        assert_eq!(parse(wrong.clone()).unwrap_err(), ErrorKind::Usage, "{wrong}");
    }
}

#[test]
fn an_option_that_is_wrong_is_named() {
    let told = |options: Json| Config::parse(&options).unwrap_err().to_string();
    assert_eq!(told(json!({"url": "a", "sheat": 1})), "file has no option \"sheat\"");
    assert_eq!(told(json!({"url": "a", "header": "maybe"})), "option header: its value is not understood");
}
