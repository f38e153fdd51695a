/// The version of this Berth.
public enum BerthVersion {
    /// By semantic versioning.
    public static let current = "0.1.0"
}
