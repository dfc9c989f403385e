/// The filters of Jinja, with `tojson` as transformers has it.
enum TemplateFilter: String {
  case abs
  case attr
  case batch
  case capitalize
  case center
  case `default`
  case dictsort
  case escape
  case filesizeformat
  case first
  case float
  case forceescape
  case format
  case groupby
  case indent
  case int
  case items
  case join
  case last
  case length
  case list
  case lower
  case map
  case max
  case min
  case pprint
  case random
  case reject
  case rejectattr
  case replace
  case reverse
  case round
  case safe
  case select
  case selectattr
  case slice
  case sort
  case string
  case striptags
  case sum
  case title
  case tojson
  case trim
  case truncate
  case unique
  case upper
  case urlencode
  case urlize
  case wordcount
  case wordwrap
  case xmlattr

  /// The filter that templates call `name`.
  init?(named name: String) {
    self.init(rawValue: ["count": "length", "d": "default", "e": "escape"][name] ?? name)
  }

  /// The names of the arguments; `nil` for a filter that takes any.
  var parameters: [String]? {
    switch self {
    case .attr: ["name"]
    case .batch: ["linecount", "fill_with"]
    case .center: ["width"]
    case .default: ["default_value", "boolean"]
    case .dictsort: ["case_sensitive", "by", "reverse"]
    case .filesizeformat: ["binary"]
    case .float: ["default"]
    case .groupby: ["attribute", "default", "case_sensitive"]
    case .indent: ["width", "first", "blank"]
    case .int: ["default", "base"]
    case .join: ["d", "attribute"]
    case .min, .max, .unique: ["case_sensitive", "attribute"]
    case .replace: ["old", "new", "count"]
    case .round: ["precision", "method"]
    case .slice: ["slices", "fill_with"]
    case .sort: ["reverse", "case_sensitive", "attribute"]
    case .sum: ["attribute", "start"]
    case .tojson: ["ensure_ascii", "indent", "separators", "sort_keys"]
    case .trim: ["chars"]
    case .truncate: ["length", "killwords", "end", "leeway"]
    case .urlize: ["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"]
    case .wordwrap: ["width", "break_long_words", "wrapstring", "break_on_hyphens"]
    case .xmlattr: ["autospace"]
    case .format, .map, .select, .selectattr, .reject, .rejectattr: nil
    default: []
    }
  }

  /// How many arguments must be given.
  var required: Int {
    switch self {
    case .attr, .batch, .groupby, .slice: 1
    case .replace: 2
    default: 0
    }
  }
}

extension TemplateEvaluator {
  /// `value | name(arguments)`.
  func apply(
    _ name: String, to value: Value, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    guard let filter = TemplateFilter(named: name) else {
      throw .unknown("the filter \(name)", line: line)
    }
    try spend(1)
    switch filter {
    case .format: return try format(value, arguments)
    case .map: return try map(value, arguments)
    case .select, .selectattr, .reject, .rejectattr: return try select(filter, value, arguments)
    default: break
    }
    let given = FilterArguments(
      values: try bind(
        arguments, to: filter.parameters ?? [], required: filter.required, of: name))
    switch filter {
    case .abs, .float, .int, .round, .filesizeformat: return try number(filter, value, given)
    case .batch, .dictsort, .first, .groupby, .items, .last, .list, .max, .min, .random, .reverse,
      .slice, .sort, .sum, .unique:
      return try sequence(filter, value, given)
    case .escape, .forceescape, .safe, .string, .striptags, .urlencode, .urlize, .xmlattr:
      return try markup(filter, value, given)
    case .attr:
      let name = try string(given[0] ?? .none)
      let found = try attribute(name, of: value)
      // Unlike `value.name`, it finds no items.
      if case .mapping(let mapping) = value, mapping[name] != nil,
        !TemplateMethod.has(name, value)
      {
        return .undefined(name)
      }
      return found
    case .default:
      let isMissing = !value.isDefined || given[1]?.isTrue == true && !value.isTrue
      return isMissing ? try given[0].or(text("")) : value
    case .length:
      guard let length = try length(of: value) else { throw fault("\(value.kind) has no length") }
      return .integer(length)
    case .tojson: return try json(value, given)
    default: return try words(filter, value, given)
    }
  }
}

/// The arguments of a filter in the order of its parameters.
struct FilterArguments {
  let values: [Value?]

  subscript(index: Int) -> Value? { values[index] }

  /// Whether an argument holds, by default not.
  func isOn(_ index: Int) -> Bool { values[index]?.isTrue == true }
}
