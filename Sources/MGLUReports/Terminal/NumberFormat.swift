/// Numbers for people.
public enum NumberFormat {
  /// An integer with a comma between thousands.
  public static func grouped(_ value: Int) -> String {
    let digits = Array(String(value.magnitude))
    var result = value < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { result += "," }
      result.append(digit)
    }
    return result
  }

  /// The nearest integer, with a comma between thousands.
  public static func grouped(_ value: Double) -> String {
    value.magnitude < 1e15 ? grouped(Int(value.rounded())) : "\(value)"
  }

  /// `digits` decimals, rounded to the nearest.
  public static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
    let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 0x1p63 else { return "\(value)" }
    let (whole, fraction) = Int(scaled).quotientAndRemainder(dividingBy: Int(scale))
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if digits == 0 { return "\(sign)\(whole)" }
    let decimals = String(fraction)
    return "\(sign)\(whole)." + String(repeating: "0", count: digits - decimals.count) + decimals
  }

  /// `digits` significant digits; integers of more digits stay whole, with commas.
  static func significant(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
    var (decimals, limit) = (digits - 1, 10.0)
    while decimals > 0, value.magnitude >= limit { (decimals, limit) = (decimals - 1, limit * 10) }
    limit = 1
    while decimals < 12, value != 0, value.magnitude < limit {
      (decimals, limit) = (decimals + 1, limit / 10)
    }
    return decimals == 0 ? grouped(value) : fixed(value, decimals)
  }

  /// Two significant digits and a power of ten where that is shorter: learning rates.
  public static func scientific(_ value: Double) -> String {
    guard value.isFinite, value != 0 else { return "\(value)" }
    var (mantissa, exponent) = (value.magnitude, 0)
    while mantissa >= 9.95 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 0.995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    return (value < 0 ? "-" : "") + "\(fixed(mantissa, 1))e\(exponent)"
  }

  /// A duration as `1:02:03` or `2:03`.
  public static func clock(seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "--:--" }
    let total = Int(max(0, seconds).rounded())
    func two(_ value: Int) -> String { (value < 10 ? "0" : "") + String(value) }
    let (hours, minutes) = (total / 3600, total / 60 % 60)
    return hours > 0
      ? "\(hours):\(two(minutes)):\(two(total % 60))" : "\(minutes):\(two(total % 60))"
  }
}
