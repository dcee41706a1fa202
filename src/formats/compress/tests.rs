//! Every compression there and back, in pieces and members; what is cut, changed or not to be read.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

const ALL: [Compression; 8] = [
    Compression::Gzip,
    Compression::Zstd,
    Compression::Bzip2,
    Compression::Xz,
    Compression::Lz4,
    Compression::Snappy,
    Compression::HadoopSnappy,
    Compression::Zip,
];

/// Bytes of a head by which a compression is told.
const HEAD_BYTES: usize = 10;

/// What the first bytes of a file of `compression` say.
fn seen(compression: Compression) -> Compression {
    if compression.is_seen() { compression } else { Compression::None }
}

fn plain(compression: Compression, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    reader(compression, std::io::Cursor::new(bytes))?.read_to_end(&mut out).map_err(damage)?;
    Ok(out)
}

/// A whole file of these pieces.
fn packed(compression: Compression, level: Option<i32>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut packer = Packer::new(compression, level, "a.csv");
    let mut out = packer.start();
    for piece in pieces {
        let piece = packer.pack(piece.to_vec()).unwrap();
        out.extend(packer.add(piece));
    }
    out.extend(packer.end());
    out
}

#[test]
fn pieces_follow_each_other_and_are_told_by_their_first_bytes() {
    for compression in ALL.into_iter().chain([Compression::None]) {
        for level in [None, Some(1), Some(9)] {
            let bytes = packed(compression, level, &[b"one,", b"", b"two"]);
            assert_eq!(Compression::detect(&bytes), seen(compression));
            assert_eq!(Compression::detect(&bytes[..bytes.len().min(HEAD_BYTES)]), seen(compression));
            assert_eq!(plain(compression, bytes).unwrap(), b"one,two", "{compression:?}");
        }
    }
}

#[test]
fn a_file_without_a_row_is_a_file_all_the_same() {
    for compression in ALL {
        let bytes = packed(compression, None, &[b""]);
        assert_eq!(Compression::detect(&bytes), seen(compression));
        assert_eq!(plain(compression, bytes).unwrap(), b"", "{compression:?}");
    }
}

#[test]
fn files_are_joined_byte_by_byte_where_they_may_be() {
    for compression in ALL.into_iter().filter(|compression| compression.is_joinable()) {
        let joined = [packed(compression, None, &[b"one,"]), packed(compression, None, &[b"two"])].concat();
        assert_eq!(plain(compression, joined).unwrap(), b"one,two", "{compression:?}");
    }
}

#[test]
fn text_that_begins_like_a_name_is_no_compression() {
    for text in [b"BZh1,a\n1,2\n" as &[u8], b"PK,a\n", b"7z", b"", b"\xff\xfea\0"] {
        assert_eq!(Compression::detect(text), Compression::None);
    }
}

#[test]
fn zeros_behind_a_gzip_member_are_padding_and_other_bytes_are_damage() {
    let (one, two) = (packed(Compression::Gzip, None, &[b"one,"]), packed(Compression::Gzip, None, &[b"two"]));
    let zeros = vec![0; 2 * BUFFER_BYTES];
    let padded = [one.as_slice(), &zeros, &two, &[0; 3]].concat();
    assert_eq!(plain(Compression::Gzip, padded).unwrap(), b"one,two");
    let followed = [one.as_slice(), b"words"].concat();
    assert_eq!(plain(Compression::Gzip, followed).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn zstd_windows_may_be_as_long_as_the_program_makes_them() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(b"far and wide").unwrap();
    assert_eq!(plain(Compression::Zstd, encoder.finish().unwrap()).unwrap(), b"far and wide");
}

#[test]
fn an_end_too_early_is_no_unexpected_end_of_file() {
    let whole = packed(Compression::Gzip, None, &[&vec![7; 100_000]]);
    let mut reader = reader(Compression::Gzip, std::io::Cursor::new(whole[..whole.len() - 9].to_vec())).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_cut_stream_is_damage() {
    let text: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
    for compression in ALL {
        let whole = packed(compression, None, &[&text]);
        for cut in [whole.len() - 1, whole.len() / 2, 12] {
            let error = plain(compression, whole[..cut].to_vec()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(error.message(), "the compressed data end too early", "{compression:?} cut at {cut}");
        }
    }
}

#[test]
fn a_changed_byte_is_damage() {
    let text: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
    // A frame of zstd has no checksum where it is written in bulk, and a block of Hadoop never has one.
    let unchecked = [Compression::Zstd, Compression::HadoopSnappy];
    for compression in ALL.into_iter().filter(|compression| !unchecked.contains(compression)) {
        let mut changed = packed(compression, None, &[&text]);
        let middle = changed.len() / 2;
        changed[middle] ^= 0x55;
        assert_eq!(plain(compression, changed).unwrap_err().kind(), ErrorKind::Corrupt, "{compression:?}");
    }
}

#[test]
fn a_zip_file_has_one_member_that_can_be_read() {
    let one = packed(Compression::Zip, None, &[b"a\n1\n"]);
    let directory = memchr::memmem::find(&one, b"PK\x01\x02").unwrap();
    let two = [&one[..directory], &one].concat();
    let error = plain(Compression::Zip, two).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, "the zip file holds several files"));
    let mut locked = one.clone();
    locked[6] |= 1;
    assert_eq!(plain(Compression::Zip, locked).unwrap_err().message(), "the zip file is encrypted");
    let mut empty = b"PK\x05\x06".to_vec();
    empty.resize(22, 0);
    assert_eq!(Compression::detect(&empty), Compression::Zip);
    assert_eq!(plain(Compression::Zip, empty).unwrap_err().message(), "the zip file holds no file");
}

#[test]
fn folders_in_a_zip_file_are_passed_over() {
    let mut folder = b"PK\x03\x04\x14\0\0\0\0\0\0\0\x21\0".to_vec();
    folder.extend([0; 12]);
    folder.extend(b"\x05\0\0\0data/");
    let all = [folder, packed(Compression::Zip, None, &[b"a\n1\n"])].concat();
    assert_eq!(plain(Compression::Zip, all).unwrap(), b"a\n1\n");
}

/// As `lz4` writes it, and as the framing format of snappy is written down: one block, not compressed.
#[test]
fn frames_of_other_programs_are_read() {
    let lz4 = b"\x04\x22\x4d\x18\x64\x40\xa7\x04\0\0\x80a\n1\n\0\0\0\0\x59\x0e\x64\x85";
    let snappy = b"\xff\x06\0\0sNaPpY\x01\x08\0\0\xfa\x37\xb2\x6aa\n1\n";
    for (compression, bytes) in [(Compression::Lz4, &lz4[..]), (Compression::Snappy, &snappy[..])] {
        assert_eq!(Compression::detect(bytes), compression);
        assert_eq!(plain(compression, bytes.to_vec()).unwrap(), b"a\n1\n");
        assert_eq!(plain(compression, [bytes, bytes].concat()).unwrap(), b"a\n1\na\n1\n");
        let mut changed = bytes.to_vec();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert_eq!(plain(compression, changed).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    // Cut behind the block, before the mark of the end.
    let error = plain(Compression::Lz4, lz4[..15].to_vec()).unwrap_err();
    assert_eq!(error.message(), "the compressed data end too early");
}

/// The block of one chunk, one of two chunks, and the one without a byte with which Hadoop writes an empty file. A chunk is the
/// raw length, a literal of four bytes and these.
#[test]
fn blocks_of_hadoop_are_read() {
    let (block, two, empty) = (b"\0\0\0\x04".as_slice(), b"\0\0\0\x08".as_slice(), b"\0\0\0\0".as_slice());
    let chunk = b"\0\0\0\x06\x04\x0ca\n1\n".as_slice();
    let read = |bytes: &[&[u8]]| plain(Compression::HadoopSnappy, bytes.concat());
    assert_eq!(read(&[block, chunk]).unwrap(), b"a\n1\n");
    assert_eq!(read(&[empty]).unwrap(), b"");
    assert_eq!(read(&[two, chunk, chunk, empty, block, chunk]).unwrap(), b"a\n1\na\n1\na\n1\n");
    assert_eq!(read(&[two, chunk]).unwrap_err().message(), "the compressed data end too early");
    // A chunk that holds more than its block, and one that is longer than memory should be.
    assert_eq!(read(&[b"\0\0\0\x03", chunk]).unwrap_err().message(), "the compressed data are damaged");
    assert_eq!(read(&[b"\x7f\0\0\0\x7f\0\0\0"]).unwrap_err().kind(), ErrorKind::Resource);
}

proptest! {
    #[test]
    fn pieces_of_any_bytes_come_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..5)) {
        let whole = pieces.concat();
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        for compression in ALL {
            prop_assert_eq!(&plain(compression, packed(compression, None, &pieces)).unwrap(), &whole);
        }
    }

    #[test]
    fn bytes_that_are_nothing_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..40_usize) {
        for compression in ALL {
            let _ = plain(compression, bytes.clone());
            // A beginning that is right, and then noise.
            let begun = packed(compression, None, &[b"some text"]);
            let _ = plain(compression, [&begun[..at.min(begun.len())], &bytes].concat());
        }
    }
}

/// Bytes that do not shrink fill the room of an encoder to its end.
#[test]
fn large_pieces_of_noise_come_back() {
    let mut state = 7_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for bytes in [32_768, 300_000, 1_048_577] {
        let piece: Vec<u8> = (0..bytes).map(|_| noise()).collect();
        for compression in ALL {
            let whole = packed(compression, None, &[&piece, b"between", &piece]);
            assert!(plain(compression, whole).unwrap() == [&piece[..], b"between", &piece].concat(), "{compression:?}");
        }
    }
}
