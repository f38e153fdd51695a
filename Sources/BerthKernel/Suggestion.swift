internal import BerthTOML

/// The known name nearest to one that was misspelt.
func nearestName(_ name: String, _ known: some Sequence<String>) -> String? { nearest(to: name, among: known) }
