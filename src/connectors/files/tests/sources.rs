//! Files that are unusual in what they hold or in how they are cut.

use super::*;

#[tokio::test]
async fn a_source_of_the_same_session_knows_what_another_has_learned() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..100)).unwrap();
    copy(at(folder, "a.csv"), at(folder, "a.jsonl"), WriteMode::Create, "1").await.unwrap();
    let opened = open(at(folder, "a.jsonl")).await.unwrap();
    let plan = opened.source.plan(&scan_of(&opened.shape), &goal(1 << 30)).await.unwrap();
    // Also in a process that has the split alone.
    let later = endpoint(at(folder, "a.jsonl")).unwrap();
    let request = OpenRequest { objects: vec![ObjectRef::Whole], readers: 1, ..OpenRequest::default() };
    let later = later.open(&request).await.unwrap();
    for session in [&opened.session, &later] {
        let source = session.source(&ObjectRef::Whole).unwrap();
        let reading =
            source.read(&scan_of(&opened.shape), &plan.splits[0], &attempt(&token("r"), 0, vec![0]), None).await;
        let batches = reading.unwrap().try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    }
}

#[tokio::test]
async fn a_first_record_longer_than_the_sample_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let long = "long, ".repeat(1 << 20);
    fs::write(folder.join("a.csv"), format!("id,name\n1,\"{long}\"\n2,short\n")).unwrap();
    fs::write(folder.join("a.jsonl"), format!("{{\"id\":1,\"name\":\"{long}\"}}\n{{\"id\":2,\"name\":\"short\"}}\n"))
        .unwrap();
    fs::write(folder.join("wide.csv"), format!("\"{}\",id\n1,2\n", &long[..3 << 20])).unwrap();
    fs::write(folder.join("too-wide.csv"), format!("\"{long}\",id\n1,2\n")).unwrap();
    for options in [
        at(folder, "a.csv"),
        json!({"url": at(folder, "a.csv"), "allStrings": true}),
        at(folder, "a.jsonl"),
        json!({"url": at(folder, "a.jsonl"), "allStrings": true}),
    ] {
        let read = rows(options.clone()).await.unwrap();
        let names = read.column_by_name("name").unwrap().as_string::<i32>();
        assert_eq!((names.value(0) == long, names.value(1)), (true, "short"), "{options}");
    }
    assert_eq!(rows(at(folder, "wide.csv")).await.unwrap().num_rows(), 1);
    assert_eq!(rows(at(folder, "too-wide.csv")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // Behind the sample only the header is looked at.
    for number in 0..10 {
        fs::write(folder.join(format!("many-{number}.csv")), format!("id,name\n{number},\"{long}\"\n")).unwrap();
    }
    let many = rows(at(folder, "many-*.csv")).await.unwrap();
    assert_eq!(ids(&many), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_longer_than_the_memory_allows_is_refused_where_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Longer than the sample, so that its types do not ask for the long one.
    let short = |line: &str| line.repeat(800_000);
    let long = "y".repeat(3 << 20);
    fs::write(folder.join("a.csv"), format!("id,name\n{}2,\"{long}", short("1,one\n"))).unwrap();
    let lines = short("{\"id\":1,\"name\":\"one\"}\n");
    fs::write(folder.join("a.jsonl"), format!("{lines}{{\"id\":2,\"name\":\"{long}\"}}\n")).unwrap();
    for (name, line, hint) in [
        (
            "a.csv",
            "line 800002",
            "a quote that is never closed looks like this: check the quote option, or give --memory more",
        ),
        ("a.jsonl", "line 800001", "give --memory more"),
    ] {
        let request = OpenRequest {
            objects: vec![ObjectRef::Whole],
            readers: 1,
            row_bytes_max: Some(1 << 20),
            ..OpenRequest::default()
        };
        let session = endpoint(at(folder, name)).unwrap().open(&request).await.unwrap();
        let source = session.source(&ObjectRef::Whole).unwrap();
        let shape = source.describe().await.unwrap();
        let opened = Opened { session, source, shape };
        let error = read_all(&opened, &scan_of(&opened.shape), &goal(1 << 30)).await.unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Resource, Some(hint)), "{error}");
        assert!(error.to_string().contains(&format!("{line}: a record is longer than 1048576 bytes")), "{error}");
    }
}

#[tokio::test]
async fn long_values_between_short_ones_stay_in_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut text = "id,name\n".to_owned();
    for id in 0..40 {
        let length = if id % 4 == 0 { 1 << 20 } else { 10 };
        writeln!(text, "{id},\"a \"\"{}\"\"\"", "x".repeat(length)).unwrap();
    }
    fs::write(folder.join("a.csv"), &text).unwrap();
    let opened = open(at(folder, "a.csv")).await.unwrap();
    // Far less than one value: everything goes through the gate alone.
    let scan = Scan { batch_bytes: 4096, ..scan_of(&opened.shape) };
    let (_, all) = read_all(&opened, &scan, &goal(1 << 30)).await.unwrap();
    assert_eq!(ids(&all), (0..40).collect::<Vec<_>>());
    for (index, name) in ["t.csv", "t.jsonl", "t.csv.gz", "t.arrow", "t.arrows"].into_iter().enumerate() {
        copy(at(folder, "a.csv"), at(folder, name), WriteMode::Create, &index.to_string()).await.unwrap();
        let opened = open(at(folder, name)).await.unwrap();
        let scan = Scan { batch_bytes: 4096, ..scan_of(&opened.shape) };
        assert_eq!(read_all(&opened, &scan, &goal(1 << 30)).await.unwrap().1.columns(), all.columns(), "{name}");
    }
    assert_eq!(fs::read_to_string(folder.join("t.csv")).unwrap(), text);
}

#[tokio::test]
async fn a_stream_of_arrow_that_is_cut_off_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..20_000)).unwrap();
    copy(at(folder, "a.csv"), at(folder, "whole.arrows"), WriteMode::Create, "1").await.unwrap();
    assert!(std::process::Command::new("gzip").arg("-k").arg(folder.join("whole.arrows")).status().unwrap().success());
    for (whole, cut) in [("whole.arrows", "cut.arrows"), ("whole.arrows.gz", "cut.arrows.gz")] {
        assert_eq!(rows(at(folder, whole)).await.unwrap().num_rows(), 20_000);
        let bytes = fs::read(folder.join(whole)).unwrap();
        for keep in [bytes.len() - 3, bytes.len() - 11, bytes.len() / 2] {
            fs::write(folder.join(cut), &bytes[..keep]).unwrap();
            let error = rows(at(folder, cut)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{cut} {keep}: {error}");
        }
    }
}

#[tokio::test]
async fn rows_are_not_added_behind_the_end_of_a_json_array() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), "id\n3\n").unwrap();
    let array = "[{\"id\": 1},\n {\"id\": 2}]\n";
    fs::write(folder.join("t.json"), array).unwrap();
    let refused = copy(at(folder, "a.csv"), at(folder, "t.json"), WriteMode::Append, "1").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.hint().unwrap().contains("--mode replace"), "{refused}");
    assert_eq!(fs::read_to_string(folder.join("t.json")).unwrap(), array);
    copy(at(folder, "a.csv"), at(folder, "t.json"), WriteMode::Replace, "2").await.unwrap();
    copy(at(folder, "a.csv"), at(folder, "t.json"), WriteMode::Append, "3").await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("t.json")).unwrap(), "{\"id\":3}\n{\"id\":3}\n");
}

#[tokio::test]
async fn of_a_mixed_folder_the_format_that_is_named_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("in")).unwrap();
    fs::write(folder.join("in/a.csv"), "id\n1\n").unwrap();
    fs::write(folder.join("in/b.jsonl"), "{\"id\":2}\n").unwrap();
    let mixed = rows(at(folder, "in")).await.unwrap_err();
    assert_eq!(mixed.kind(), ErrorKind::Usage);
    for (format, id) in [("csv", 1), ("jsonl", 2)] {
        assert_eq!(ids(&rows(json!({"url": at(folder, "in"), "format": format})).await.unwrap()), [id]);
    }
    let none = rows(json!({"url": at(folder, "in"), "format": "parquet"})).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn options_of_delimited_files_are_refused_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), "id,name\n1,x\n").unwrap();
    fs::write(folder.join("a.tsv"), "id,name\n1,x\n").unwrap();
    copy(at(folder, "a.csv"), at(folder, "a.parquet"), WriteMode::Create, "1").await.unwrap();
    let with = |name: &str| json!({"url": at(folder, name), "delimiter": ","});
    assert_eq!(rows(with("a.tsv")).await.unwrap().num_columns(), 2);
    assert_eq!(rows(with("a.parquet")).await.unwrap_err().kind(), ErrorKind::Usage);
    let refused = copy(at(folder, "a.csv"), with("t.jsonl"), WriteMode::Create, "2").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn splits_say_where_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..5000)).unwrap();
    let to = json!({"url": at(folder, "b.parquet"), "rowGroupRows": 1000});
    copy(at(folder, "a.csv"), to, WriteMode::Create, "1").await.unwrap();
    let places = async |name: &str| {
        let opened = open(at(folder, name)).await.unwrap();
        let plan = opened.source.plan(&scan_of(&opened.shape), &goal(20_000)).await.unwrap();
        plan.splits.into_iter().map(|split| split.place.unwrap()).collect::<Vec<_>>()
    };
    let text = places("a.csv").await;
    assert_eq!(text[0], "from line 2 on");
    let line: usize = text[1].split(' ').nth(2).unwrap().parse().unwrap();
    let before = csv(0..5000).lines().take(line - 1).map(|line| line.len() + 1).sum::<usize>();
    assert!((20_000..30_000).contains(&before), "{line}");
    let groups = places("b.parquet").await;
    assert!(groups[0].starts_with("row group") && groups[0].ends_with("b.parquet"), "{groups:?}");
}

#[tokio::test]
async fn blocks_of_avro_are_splits_and_their_rows_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..200_000)).unwrap();
    let to = json!({"url": at(folder, "b.avro"), "compression": "none"});
    copy(at(folder, "a.csv"), to, WriteMode::Create, "r").await.unwrap();
    let opened = open(at(folder, "b.avro")).await.unwrap();
    assert_eq!(opened.shape.rows, Some(200_000));
    let schema = Arc::new(opened.shape.schema.project(&[2, 0]).unwrap());
    let scan = Scan { schema, ..scan_of(&opened.shape) };
    let (plan, whole) = read_all(&opened, &scan, &goal(1)).await.unwrap();
    assert!(plan.splits.len() > 2, "{:?}", plan.splits);
    assert_eq!(plan.splits.iter().map(|split| split.rows.unwrap()).sum::<u64>(), 200_000);
    assert!(plan.splits[1].place.as_deref().unwrap().starts_with("piece 1 of"), "{:?}", plan.splits[1]);
    assert_eq!(ids(&whole), (0..200_000).collect::<Vec<_>>());
    let scan = Scan { limit: Some(1234), ..scan_of(&opened.shape) };
    let (_, limited) = read_all(&opened, &scan, &goal(1 << 30)).await.unwrap();
    assert_eq!(ids(&limited), (0..1234).collect::<Vec<_>>());
    for compression in ["none", "deflate", "snappy", "zstd"] {
        let to = json!({"url": at(folder, &format!("{compression}.avro")), "compression": compression});
        copy(at(folder, "a.csv"), to, WriteMode::Create, compression).await.unwrap();
        assert_eq!(rows(at(folder, &format!("{compression}.avro"))).await.unwrap().num_rows(), 200_000);
    }
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    assert!(size("deflate.avro") < size("none.avro") && size("zstd.avro") < size("none.avro"));
    let to = json!({"url": at(folder, "lz4.avro"), "compression": "lz4"});
    assert_eq!(copy(at(folder, "a.csv"), to, WriteMode::Create, "lz4").await.unwrap_err().kind(), ErrorKind::Usage);
}
