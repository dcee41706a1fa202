//! What others see of a target before, while and after rows are published: other runs, and runs that died.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn hidden(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(".etl-")).collect();
    names.sort();
    names
}

fn write_sources(folder: &Path) {
    fs::write(folder.join("a.csv"), csv(0..2000)).unwrap();
    fs::write(folder.join("b.csv"), csv(2000..2500)).unwrap();
}

/// A run into a folder that dies when some of its files have their names: the name of its second file is taken.
async fn die_half_way(from: &Opened, folder: &Path, mode: WriteMode) {
    let to = json!({"url": folder, "format": "csv", "fileBytes": 1});
    let copy = Copy::run(from, to, mode, "halfwaydone").await.unwrap();
    assert!(copy.receipts.len() > 1);
    let taken = folder.join("part-halfwaydone-00-00001.csv");
    fs::write(&taken, "id\n").unwrap();
    assert_eq!(copy.commit().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    drop(copy);
    fs::remove_file(taken).unwrap();
    assert!(folder.join("part-halfwaydone-00-00000.csv").exists());
}

#[tokio::test]
async fn replacing_a_folder_touches_only_the_files_that_were_agreed_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let out = folder.join("out");
    fs::create_dir(&out).unwrap();
    copy(at(folder, "a.csv"), json!({"url": out, "format": "csv"}), WriteMode::Create, "1").await.unwrap();
    fs::write(out.join("other.parquet"), "PAR1").unwrap();
    for mode in [WriteMode::Replace, WriteMode::Truncate, WriteMode::Append] {
        for format in ["csv", "parquet"] {
            let to = json!({"url": out, "format": format});
            let refused = copy(at(folder, "b.csv"), to, mode.clone(), "2").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage);
            assert!(refused.to_string().contains("several formats"), "{refused}");
        }
    }
    fs::remove_file(out.join("other.parquet")).unwrap();
    let to = json!({"url": out, "format": "jsonl"});
    let refused = copy(at(folder, "b.csv"), to, WriteMode::Replace, "3").await.unwrap_err();
    assert!(refused.to_string().contains("files of CSV, not JSON lines"), "{refused}");
    assert_eq!(rows(json!(out)).await.unwrap().num_rows(), 2000);

    let from = open(at(folder, "b.csv")).await.unwrap();
    let copy = Copy::run(&from, json!(out), WriteMode::Replace, "4").await.unwrap();
    let note = copy.agreement.notes.iter().find(|note| note.contains("replaced")).unwrap();
    let bytes: u64 = visible(&out).iter().map(|name| fs::metadata(out.join(name)).unwrap().len()).sum();
    assert!(note.contains(&format!("{bytes} bytes")), "{note}");
    fs::write(out.join("late.csv"), "id,name,note\n9999,late,\n").unwrap();
    copy.commit().await.unwrap();
    let mut expected = (2000..2500).collect::<Vec<_>>();
    expected.push(9999);
    let mut found = ids(&rows(json!(out)).await.unwrap());
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn two_appends_at_once_lose_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "b.csv")).await.unwrap();
    for name in ["t.csv", "t.csv.gz", "t.parquet", "t.avro", "t.arrow"] {
        copy(at(folder, "a.csv"), at(folder, name), WriteMode::Create, name).await.unwrap();
        let first = Copy::run(&from, at(folder, name), WriteMode::Append, &format!("{name}-first")).await.unwrap();
        let second = Copy::run(&from, at(folder, name), WriteMode::Append, &format!("{name}-second")).await.unwrap();
        let turn = fs::File::open(folder.join(name)).unwrap();
        turn.lock().unwrap();
        let waiting = first.commit().await.unwrap_err();
        assert_eq!(waiting.kind(), ErrorKind::Transient, "{waiting}");
        drop(turn);
        first.commit().await.unwrap();
        let late = second.commit().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Io, "{late}");
        assert!(late.to_string().contains("changed"), "{late}");
        second.abort().await.unwrap();
        assert_eq!(ids(&rows(at(folder, name)).await.unwrap()), (0..2500).collect::<Vec<_>>(), "{name}");

        let new = format!("new-{name}");
        let first = Copy::run(&from, at(folder, &new), WriteMode::Append, &format!("{name}-third")).await.unwrap();
        let second = Copy::run(&from, at(folder, &new), WriteMode::Append, &format!("{name}-fourth")).await.unwrap();
        first.commit().await.unwrap();
        assert_eq!(second.commit().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        second.abort().await.unwrap();
        assert_eq!(rows(at(folder, &new)).await.unwrap().num_rows(), 500, "{name}");
    }
}

#[tokio::test]
async fn the_stage_is_private_and_a_file_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    copy(at(folder, "a.csv"), at(folder, "t.csv"), WriteMode::Create, "1").await.unwrap();
    fs::set_permissions(folder.join("t.csv"), fs::Permissions::from_mode(0o640)).unwrap();
    let from = open(at(folder, "b.csv")).await.unwrap();
    for (write, run) in [(WriteMode::Append, "2"), (WriteMode::Replace, "3")] {
        let copy = Copy::run(&from, at(folder, "t.csv"), write, run).await.unwrap();
        let stage = folder.join(format!(".etl-{run}.0.0.0.stage"));
        assert_eq!(mode(&stage), 0o700);
        copy.commit().await.unwrap();
        assert_eq!(mode(&folder.join("t.csv")), 0o640);
    }
}

#[tokio::test]
async fn what_a_dead_run_staged_is_swept_by_the_next_one_on_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "a.csv")).await.unwrap();
    let other = Copy::run(&from, at(folder, "other.csv"), WriteMode::Create, "other").await.unwrap();
    drop(other);
    let dead = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "dead").await.unwrap();
    drop(dead);
    let alive = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "alive").await.unwrap();
    assert_eq!(hidden(folder), [".etl-alive.0.0.0.stage", ".etl-other.0.0.0.stage"]);
    let next = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "next").await.unwrap();
    assert_eq!(hidden(folder).len(), 3, "a run that is alive keeps its stage");
    next.commit().await.unwrap();
    alive.abort().await.unwrap();
    assert_eq!(ids(&rows(at(folder, "t.csv")).await.unwrap()), (0..2000).collect::<Vec<_>>());
    // A stage whose removal was interrupted has no owner any more.
    fs::remove_file(folder.join(".etl-other.0.0.0.stage/owner")).unwrap();
    drop(next);
    copy(at(folder, "a.csv"), at(folder, "t.csv"), WriteMode::Append, "last").await.unwrap();
    assert_eq!(hidden(folder), [".etl-last.0.0.0.done"]);
}

#[tokio::test]
async fn a_run_that_died_while_it_published_adds_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let out = folder.join("out");
    fs::create_dir(&out).unwrap();
    let from = open(at(folder, "a.csv")).await.unwrap();
    die_half_way(&from, &out, WriteMode::Create).await;
    let to = json!({"url": out, "format": "csv"});
    copy(at(folder, "a.csv"), to.clone(), WriteMode::Create, "again").await.unwrap();
    assert_eq!(ids(&rows(to.clone()).await.unwrap()), (0..2000).collect::<Vec<_>>());

    // The old files are aside already: they come back.
    let old = visible(&out);
    die_half_way(&from, &out, WriteMode::Replace).await;
    let stage = out.join(".etl-halfwaydone.0.0.0.stage");
    fs::create_dir(stage.join("old")).unwrap();
    for name in &old {
        fs::rename(out.join(name), stage.join("old").join(name)).unwrap();
    }
    copy(at(folder, "b.csv"), to.clone(), WriteMode::Append, "append").await.unwrap();
    let mut all = ids(&rows(to.clone()).await.unwrap());
    all.sort_unstable();
    assert_eq!(all, (0..2500).collect::<Vec<_>>());
    assert_eq!(hidden(&out), [".etl-append.0.0.0.done"]);

    // What its own driver takes back is as it was, too.
    let before = visible(&out);
    die_half_way(&from, &out, WriteMode::Replace).await;
    let sink = endpoint(to.clone()).unwrap().sink(&ObjectRef::Whole).unwrap();
    let request = WriteRequest::new(WriteMode::Append);
    let agreement = sink.agree(&from.shape, &request).await.unwrap();
    sink.abort(&agreement, &token("halfwaydone")).await.unwrap();
    assert_eq!(visible(&out), before);
}

#[tokio::test]
async fn a_run_that_died_after_its_commit_has_committed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "a.csv")).await.unwrap();
    for (target, mode) in [("t.csv", WriteMode::Create), ("t.csv", WriteMode::Replace), ("new/", WriteMode::Create)] {
        let copy = Copy::run(&from, at(folder, target), mode, "done").await.unwrap();
        copy.commit().await.unwrap();
        // The stage could not be swept: all that is left of it is an empty `ready`.
        fs::create_dir_all(folder.join(".etl-done.0.0.0.stage/ready")).unwrap();
        copy.commit().await.unwrap();
        fs::create_dir_all(folder.join(".etl-done.0.0.0.stage/ready")).unwrap();
        copy.abort().await.unwrap();
        assert_eq!(ids(&rows(at(folder, target)).await.unwrap()), (0..2000).collect::<Vec<_>>(), "{target}");
        drop(copy);
        super::copy(at(folder, "b.csv"), at(folder, target), WriteMode::Append, "next").await.unwrap();
        assert!(!hidden(folder).iter().any(|name| name.contains("done.0")), "{:?}", hidden(folder));
        assert_eq!(rows(at(folder, target)).await.unwrap().num_rows(), 2500);
    }
}

#[tokio::test]
async fn finishing_forgets_its_own_commit_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "a.csv")).await.unwrap();
    let first = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "first").await.unwrap();
    first.commit().await.unwrap();
    let second = Copy::run(&from, at(folder, "t.csv"), WriteMode::Replace, "second").await.unwrap();
    second.commit().await.unwrap();
    let endpoint = endpoint(at(folder, "t.csv")).unwrap();
    endpoint.finish(std::slice::from_ref(&first.agreement)).await.unwrap();
    assert_eq!(hidden(folder), [".etl-second.0.0.0.done"]);
    second.commit().await.unwrap();
    endpoint.finish(std::slice::from_ref(&second.agreement)).await.unwrap();
    assert!(hidden(folder).is_empty());
}

#[tokio::test]
async fn a_writer_holds_what_it_was_given_and_tasks_are_large_only_for_folders() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "a.csv")).await.unwrap();
    let agree = async |target: &str, memory_bytes: u64| {
        let mut options = json!({"url": at(folder, target), "fileBytes": 1000});
        if target.ends_with(".parquet") {
            options["rowGroupBytes"] = json!(64 << 20);
        }
        let sink = endpoint(options).unwrap().sink(&ObjectRef::Whole).unwrap();
        let request = WriteRequest { memory_bytes, ..WriteRequest::new(WriteMode::Create) };
        sink.agree(&from.shape, &request).await.unwrap()
    };
    for (memory, group, gather) in [(16 << 20, 4 << 20, 2 << 20), (1 << 40, 64 << 20, 4 << 20), (0, 1 << 20, 64 << 10)]
    {
        let landing = landing::Landing::of(&agree("t.parquet", memory).await).unwrap();
        let landing::Encoding::Parquet(settings) = &landing.encoding else { panic!("it is Parquet") };
        assert_eq!((settings.row_group.bytes, landing.gather_bytes), (group, gather));
    }
    for single in ["t.csv", "t.jsonl.gz", "t.parquet", "t.avro", "t.arrows"] {
        let agreement = agree(single, 1 << 30).await;
        assert_eq!(agreement.task_bytes, None, "{single}");
        assert!(agreement.notes.iter().any(|note| note.contains("does nothing here")), "{:?}", agreement.notes);
    }
    let agreement = agree("new/", 1 << 30).await;
    assert_eq!(agreement.task_bytes, Some(1000));
    assert!(agreement.notes.iter().all(|note| !note.contains("does nothing here")), "{:?}", agreement.notes);
}

#[tokio::test]
async fn a_run_that_is_at_work_is_left_alone_by_who_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "a.csv")).await.unwrap();
    let at_work = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "one").await.unwrap();
    let Copy { agreement, token, receipts, .. } = &at_work;
    let next = endpoint(at(folder, "t.csv")).unwrap().sink(&ObjectRef::Whole).unwrap();
    assert_eq!(next.progress(agreement, token, receipts).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(next.prepare(agreement, token).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(next.abort(agreement, token).await.unwrap_err().kind(), ErrorKind::Busy);
    at_work.commit().await.unwrap();
    assert_eq!(next.progress(agreement, token, receipts).await.unwrap(), Progress::Committed);
    next.abort(agreement, token).await.unwrap();
    assert_eq!(ids(&rows(at(folder, "t.csv")).await.unwrap()), (0..2000).collect::<Vec<_>>());

    // It is publishing: some of its files have their names.
    let out = folder.join("out");
    fs::create_dir(&out).unwrap();
    let to = json!({"url": out, "format": "csv", "fileBytes": 1});
    let at_work = Copy::run(&from, to.clone(), WriteMode::Create, "two").await.unwrap();
    let Copy { agreement, token, receipts, .. } = &at_work;
    let taken = out.join("part-two-00-00001.csv");
    fs::write(&taken, "id\n").unwrap();
    assert_eq!(at_work.commit().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let next = endpoint(to).unwrap().sink(&ObjectRef::Whole).unwrap();
    assert_eq!(next.progress(agreement, token, receipts).await.unwrap_err().kind(), ErrorKind::Busy);
    fs::remove_file(taken).unwrap();
    at_work.commit().await.unwrap();
    assert_eq!(rows(json!({"url": out, "format": "csv"})).await.unwrap().num_rows(), 2000);
}

#[tokio::test]
async fn what_a_process_that_goes_on_has_found_is_not_swept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "a.csv")).await.unwrap();
    let dead = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "dead").await.unwrap();
    let Copy { sink, agreement, token, receipts } = dead;
    drop(sink);
    let next = endpoint(at(folder, "t.csv")).unwrap().sink(&ObjectRef::Whole).unwrap();
    for _ in 0..2 {
        let found = next.progress(&agreement, &token, &receipts).await.unwrap();
        assert_eq!(found, Progress::Kept(receipts.clone()));
    }
    let other = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "other").await.unwrap();
    other.abort().await.unwrap();
    next.prepare(&agreement, &token).await.unwrap();
    next.commit(&agreement, &token, &receipts).await.unwrap();
    assert_eq!(ids(&rows(at(folder, "t.csv")).await.unwrap()), (0..2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn of_one_job_one_run_alone_writes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sources(folder);
    let from = open(at(folder, "a.csv")).await.unwrap();
    let prepared = async |target: &str, job: &str, run: &str| {
        let sink = endpoint(at(folder, target)).unwrap().sink(&ObjectRef::Whole).unwrap();
        let request = WriteRequest { job: Some(job.to_owned()), ..WriteRequest::new(WriteMode::Append) };
        let agreement = sink.agree(&from.shape, &request).await.unwrap();
        sink.prepare(&agreement, &token(run)).await.map(|()| (sink, agreement))
    };
    let (first, agreement) = prepared("t.csv", "job", "2").await.unwrap();
    // One that began later, and one that is gone on with.
    for run in ["3", "1"] {
        let refused = prepared("t.csv", "job", run).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy, "{run}: {refused}");
    }
    prepared("t.csv", "another", "4").await.unwrap();
    prepared("other.csv", "job", "5").await.unwrap();
    first.abort(&agreement, &token("2")).await.unwrap();
    prepared("t.csv", "job", "6").await.unwrap();
}
