//! Text in aligned columns.

/// Rows of cells, each column as wide as its widest cell, the last one as long as it likes.
pub(super) fn aligned(heads: &[&str], rows: &[Vec<String>], margin: &str) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    let has_heads = heads.iter().any(|head| !head.is_empty());
    let mut out = String::new();
    for row in has_heads.then_some(&heads).into_iter().chain(rows) {
        let mut line = margin.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            let gap = width + 2 - cell.chars().count().min(*width);
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "long".to_owned()], vec!["ünï".to_owned(), String::new()]];
        assert_eq!(aligned(&["x", "y"], &rows, "  "), "  x    y\n  a    long\n  ünï\n");
        assert_eq!(aligned(&["", ""], &rows, ""), "a    long\nünï\n");
    }
}
