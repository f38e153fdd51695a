/// Columns for people: as wide as their widest cell, two spaces between.
struct Table {
    private var rows: [[String]]

    init(_ header: String...) { rows = [header] }

    mutating func add(_ cells: String...) { rows.append(cells) }

    var text: String {
        let widths = rows.reduce(into: [Int](repeating: 0, count: rows[0].count)) { widths, row in
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        return rows.map { row in
            var line = ""
            for (index, cell) in row.enumerated() {
                line += cell
                if index < row.count - 1 { line += String(repeating: " ", count: widths[index] - cell.count + 2) }
            }
            return line
        }.joined(separator: "\n")
    }
}

/// `1.5 MB`, in powers of 1000 as image sizes are given.
func humanBytes(_ count: Int64) -> String {
    var value = Double(count)
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000 || unit == "GB" {
            let rounded = unit == "B" ? "\(count)" : "\((value * 10).rounded() / 10)"
            return "\(rounded) \(unit)"
        }
        value /= 1000
    }
    return "\(count) B"
}

/// `3 minutes ago`, from seconds.
func humanAge(_ seconds: Int64) -> String {
    let steps: [(Int64, String)] = [(86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")]
    for (size, name) in steps where seconds >= size {
        let count = seconds / size
        return "\(count) \(name)\(count == 1 ? "" : "s") ago"
    }
    return "now"
}
