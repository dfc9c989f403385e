/// SVG: elements, and numbers short enough for a file that people open.
///
/// Colors are classes of the page's style sheet, so that one drawing serves light and dark.
enum SVG {
  /// An element with attributes in the order given.
  static func element(
    _ name: String, _ attributes: KeyValuePairs<String, String>, _ content: String = ""
  ) -> String {
    let list = attributes.map { " \($0)=\"\(escape($1))\"" }.joined()
    return content.isEmpty ? "<\(name)\(list)/>" : "<\(name)\(list)>\(content)</\(name)>"
  }

  /// A label at a place.
  static func label(
    _ string: String, x: Double, y: Double, anchor: String = "start", class name: String = "label"
  ) -> String {
    element(
      "text", ["x": number(x), "y": number(y), "text-anchor": anchor, "class": name], escape(string)
    )
  }

  /// A straight line.
  static func line(
    _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, class name: String
  ) -> String {
    element(
      "line",
      [
        "x1": number(x1), "y1": number(y1), "x2": number(x2), "y2": number(y2), "class": name,
      ])
  }

  /// A coordinate with one decimal.
  static func number(_ value: Double) -> String { NumberFormat.fixed(value, 1) }

  /// `string` as HTML.
  static func escape(_ string: String) -> String {
    var result = ""
    for character in string {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(character)
      }
    }
    return result
  }
}

/// An axis: a range of values with round ticks.
struct Axis {
  let range: ClosedRange<Double>
  let ticks: [Double]
  private let digits: Int

  /// An axis that holds `values`.
  init(_ values: [Double], ticks count: Int = 5) {
    let finite = values.filter(\.isFinite)
    let low = finite.min() ?? 0
    var high = finite.max() ?? 1
    if high - low < 1e-9 { high = low + max(1e-3, low.magnitude * 0.1) }
    // Steps of 1, 2 or 5 times a power of ten.
    var (step, digits) = (1.0, 0)
    let wanted = (high - low) / Double(count)
    while step > wanted { (step, digits) = (step / 10, digits + 1) }
    while step * 10 <= wanted { step *= 10 }
    step *= wanted > 5 * step ? 10 : wanted > 2 * step ? 5 : wanted > step ? 2 : 1
    let first = (low / step).rounded(.down)
    let last = (high / step).rounded(.up)
    range = first * step...last * step
    ticks = (0...Int(last - first)).map { (first + Double($0)) * step }
    self.digits = digits
  }

  /// An axis from the least to the greatest of whole numbers, with ticks between.
  init(whole values: [Double]) {
    let low = values.min() ?? 0
    let range = low...max(low + 1e-3, values.max() ?? 1)
    self.range = range
    ticks = Axis(values, ticks: 4).ticks.filter { range.contains($0) && $0 == $0.rounded() }
    digits = 0
  }

  /// An axis of that range, with at least two round ticks in it.
  init(within range: ClosedRange<Double>) {
    let whole = Axis([range.lowerBound, range.upperBound])
    self.range = range
    ticks = whole.ticks.filter(range.contains)
    digits = whole.digits
  }

  /// Where `value` lies, from 0 to 1.
  func place(_ value: Double) -> Double {
    min(1, max(0, (value - range.lowerBound) / (range.upperBound - range.lowerBound)))
  }

  /// A tick in words. Losses of an absurd learning rate are finite and beyond every integer.
  func label(_ value: Double) -> String {
    if value >= 1e9 { return NumberFormat.scientific(value) }
    return value >= 1000 ? NumberFormat.grouped(value) : NumberFormat.fixed(value, digits)
  }
}
