/// `mountOptions` as a file has it: `mount_options`. Runs of capitals are one word: `plainHTTP` is `plain_http`.
package func snakeCase(_ name: String) -> String {
    let all = Array(name)
    var text = ""
    for (index, character) in all.enumerated() {
        let before = index > 0 ? all[index - 1] : "_"
        let after = index + 1 < all.count ? all[index + 1] : "_"
        let starts =
            character.isUppercase
            && (before.isLowercase || before.isNumber || (before.isUppercase && after.isLowercase))
        if starts && index > 0 { text += "_" }
        text += character.lowercased()
    }
    return text
}

/// The candidate nearest to `word`, if it is near enough to be a slip of the hand.
package func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
    let scored = candidates.map { ($0, distance(word, $0)) }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }
    guard let best = scored.first, best.1 <= max(2, word.count / 3) else { return nil }
    return best.0
}

/// The Levenshtein distance.
private func distance(_ left: String, _ right: String) -> Int {
    let (a, b) = (Array(left), Array(right))
    var row = Array(0...b.count)
    for i in a.indices {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let cost = a[i] == b[j] ? 0 : 1
            let next = min(row[j] + 1, row[j + 1] + 1, diagonal + cost)
            (diagonal, row[j + 1]) = (row[j + 1], next)
        }
    }
    return row[b.count]
}
