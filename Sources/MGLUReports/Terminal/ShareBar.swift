/// A share between 0 and 1 as a bar of eighths of a column.
public enum ShareBar {
  private static let eighths = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"]

  /// The bar, exactly `width` columns wide. A share outside 0...1 is clamped; what is not a number
  /// is empty.
  public static func bar(_ share: Double, width: Int) -> String {
    guard width > 0 else { return "" }
    let clamped = share.isNaN ? 0 : max(0, min(1, share))
    let filled = Int((clamped * Double(width * 8)).rounded())
    return (0..<width).map { eighths[max(0, min(8, filled - 8 * $0))] }.joined()
  }
}
