internal import BerthAPI
internal import Glibc

/// Shows a pull on the standard error: one bar a layer on a terminal, else a line when a layer changes its state.
struct ProgressBars {
    enum Style: Equatable {
        case none, lines
        case bars(columns: Int, rows: Int)
    }

    let style: Style
    private var drawn = 0
    private var states: [String: String] = [:]
    private var stage = ""

    init(style: Style) { self.style = style }

    /// Bars on a terminal, lines elsewhere, nothing when quiet.
    init(quiet: Bool) {
        if quiet {
            style = .none
        } else if isatty(2) == 1 {
            var size = winsize()
            let known = ioctl(2, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
            style = .bars(columns: known ? Int(size.ws_col) : 80, rows: known ? Int(size.ws_row) : 24)
        } else {
            style = .lines
        }
    }

    /// What to write for a report.
    mutating func text(for progress: Berth_V1_PullProgress) -> String {
        switch style {
        case .none: return ""
        case .lines: return lines(progress)
        case .bars(let columns, let rows): return bars(progress, columns: columns, rows: rows)
        }
    }

    private mutating func lines(_ progress: Berth_V1_PullProgress) -> String {
        var text = ""
        if progress.layers.isEmpty, progress.stage != stage, !progress.hasImage { text += "\(progress.stage)\n" }
        stage = progress.stage
        for layer in progress.layers where states[layer.digest] != layer.state {
            states[layer.digest] = layer.state
            let size = layer.total > 0 ? " (\(humanBytes(layer.total)))" : ""
            text += "\(Self.short(layer.digest)): \(layer.state)\(size)\n"
        }
        return text
    }

    private mutating func bars(_ progress: Berth_V1_PullProgress, columns: Int, rows: Int) -> String {
        // The last report has the image and no layers: what is drawn stays.
        if progress.layers.isEmpty { return "" }
        var text = drawn > 0 ? "\u{1b}[\(drawn)A" : ""
        // More lines than the terminal has cannot be drawn over: the unfinished ones are of interest.
        let room = max(1, rows - 2)
        let isDone = { (state: String) in state == "done" || state == "exists" }
        let open = progress.layers.filter { !isDone($0.state) }
        let shown =
            progress.layers.count <= room
            ? progress.layers : Array((open.isEmpty ? progress.layers : open).prefix(room))
        for layer in shown { text += "\r\u{1b}[K\(Self.bar(layer, columns: columns))\n" }
        if drawn > shown.count {
            text += String(repeating: "\r\u{1b}[K\n", count: drawn - shown.count) + "\u{1b}[\(drawn - shown.count)A"
        }
        drawn = shown.count
        return text
    }

    private static func bar(_ layer: Berth_V1_LayerProgress, columns: Int) -> String {
        let name = "\(short(layer.digest))  \(layer.state.padding(12))"
        guard layer.total > 0 else { return name }
        let figures = "\(humanBytes(min(layer.offset, layer.total))) of \(humanBytes(layer.total))"
        let width = min(40, columns - name.count - figures.count - 4)
        guard width >= 5 else { return String("\(name) \(figures)".prefix(columns - 1)) }
        let share = min(1, max(0, Double(layer.offset) / Double(layer.total)))
        let filled = Int(Double(width) * share)
        return "\(name)[\(String(repeating: "=", count: filled).padding(width))] \(figures)"
    }

    private static func short(_ digest: String) -> String {
        String(digest.split(separator: ":").last?.prefix(12) ?? "")
    }
}

extension String {
    /// The text with spaces behind it up to `width`.
    func padding(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
