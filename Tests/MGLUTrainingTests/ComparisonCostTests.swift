import Foundation
import MGLUReports
import MGLUTestSupport
import MGLUTraining
import Testing

/// The drawings of a report that have the loss beside a cost, and the paper's figures beside ours.
@Suite struct ComparisonCostTests {
  /// Figures that take the place of those of a run.
  private struct Figures {
    var loss: Double?
    var training: Double?
    var decode: Double?
    var processes: Int?
  }

  /// Trains the units for a few steps, puts `figures` in the place of what was measured, and collects them.
  private static func results(
    _ plan: ComparisonPlan, in folder: String, _ figures: (String, UInt64) -> Figures
  ) throws -> ComparisonResults {
    let comparison = try ComparisonTests.comparison(plan, in: folder)
    _ = try comparison.run()
    for run in plan.runs {
      let found = figures(run.unit.description, run.settings.seed)
      try edit("\(folder)/\(run.folderName)/result.json") { result in
        result["validation_loss"] = found.loss
        result["perplexity"] = found.loss.map { exp($0) }
        if found.loss == nil { result["divergence"] = "it was too steep" }
      }
      try edit("\(folder)/\(run.folderName)/timing.json") { timing in
        timing["training_tokens_per_second"] = found.training
        timing["decode_tokens_per_second"] = found.decode
        timing["processes"] = found.processes
      }
    }
    return try #require(try comparison.run())
  }

  private static func edit(_ path: String, _ change: (inout [String: Any]) -> Void) throws {
    let url = URL(fileURLWithPath: path)
    var object = try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    change(&object)
    try JSONSerialization.data(withJSONObject: object).write(to: url)
  }

  private static func write(
    _ results: ComparisonResults, _ plan: ComparisonPlan, paper: ComparisonRecipe.Paper? = nil,
    to folder: String
  ) throws -> String {
    try ComparisonReport(results, title: "A title", machine: "a machine", plan: plan, paper: paper)
      .write(to: folder)
    return try text("\(folder)/report.md")
  }

  private static func text(_ path: String) throws -> String {
    String(decoding: try MappedFile(path: path).contents, as: UTF8.self)
  }

  private static func drawings(in folder: String) throws -> [String] {
    try Folder.names(in: folder).filter { $0.hasSuffix(".svg") }
  }

  private struct Room {
    let left: Double
    let top: Double
    let right: Double
    let bottom: Double

    func overlaps(_ other: Room) -> Bool {
      left < other.right && other.left < right && top < other.bottom && other.top < bottom
    }

    func holds(_ other: Room) -> Bool {
      left <= other.left && right >= other.right && top <= other.top && bottom >= other.bottom
    }
  }

  /// What a reader sees of a drawing.
  private struct Drawing {
    struct Label {
      let text: String
      let x: Double
      let y: Double
      let kind: String
      let anchor: String

      /// Its room at 7.8 pixels a letter, as wide as DejaVu Sans has them.
      var room: Room {
        let width = 7.8 * Double(text.count)
        let left = anchor == "end" ? x - width : anchor == "middle" ? x - width / 2 : x
        return Room(left: left, top: y - 11, right: left + width, bottom: y + 4)
      }
    }

    struct Mark {
      let title: String
      let x: Double
      let y: Double

      var room: Room { Room(left: x - 5, top: y - 5, right: x + 5, bottom: y + 5) }
    }

    let text: String
    let width: Double
    let height: Double
    /// The middles of the marks, with what they are called.
    let marks: [Mark]
    let labels: [Label]
    let whiskers: [(x1: Double, y1: Double, x2: Double, y2: Double)]

    init(_ path: String) throws {
      text = try ComparisonCostTests.text(path)
      let size = try #require(text.firstMatch(of: /viewBox="0 0 ([\d.]+) ([\d.]+)"/))
      width = try #require(Double(size.1))
      height = try #require(Double(size.2))
      let number = { (text: Substring) in Double(text) ?? .nan }
      marks = text.matches(
        of: /<g><title>([^<]*)<\/title><rect x="(-?[\d.]+)" y="(-?[\d.]+)" width="10.0"/
      ).map { Mark(title: String($0.1), x: number($0.2) + 5, y: number($0.3) + 5) }
      labels = text.matches(
        of: /<text x="(-?[\d.]+)" y="(-?[\d.]+)" text-anchor="(\w+)" class="([^"]*)">([^<]*)</
      ).map {
        Label(
          text: String($0.5), x: number($0.1), y: number($0.2), kind: String($0.4),
          anchor: String($0.3))
      }
      whiskers = text.matches(
        of: /x1="(-?[\d.]+)" y1="(-?[\d.]+)" x2="(-?[\d.]+)" y2="(-?[\d.]+)" class="whisker"/
      ).map { (number($0.1), number($0.2), number($0.3), number($0.4)) }
      #expect(!text.contains("nan") && !text.contains("inf"))
    }

    /// The value at a place, read off two ticks as a reader does.
    private static func read(_ place: Double, _ ticks: [(place: Double, value: Double)]) -> Double {
      let (first, last) = (ticks[0], ticks[ticks.count - 1])
      return first.value + (place - first.place) / (last.place - first.place)
        * (last.value - first.value)
    }

    func x(at place: Double) -> Double {
      let bottom = labels.filter { $0.anchor == "middle" && Double(plain($0.text)) != nil }
      return Self.read(place, bottom.map { ($0.x, Double(plain($0.text)) ?? .nan) })
    }

    func y(at place: Double) -> Double {
      let left = labels.filter {
        $0.kind == "label" && $0.anchor == "end" && Double(plain($0.text)) != nil
      }
      return Self.read(place, left.map { ($0.y - 4, Double(plain($0.text)) ?? .nan) })
    }

    private func plain(_ text: String) -> String { text.filter { $0 != "," } }
  }

  private static let names = [
    "loss-arithmetic.svg", "loss-decoding.svg", "loss-memory.svg", "loss-training.svg",
  ]

  /// Read off the axes, every point and every whisker has the figures of results.csv and timings.json.
  @Test func pointsAreWhereTheFilesHaveThem() throws {
    try withTemporaryFolder { folder in
      let plan = try ComparisonTests.plan("gelu,swiglu,swimglu:4", seeds: [1, 2, 3])
      let base = ["gelu": 2.9, "swiglu": 2.6, "swimglu:4": 2.7]
      let results = try Self.results(plan, in: folder) { unit, seed in
        Figures(
          loss: (base[unit] ?? 0) + 0.01 * Double(seed * seed),
          training: unit == "swiglu" ? 1000 + 100 * Double(seed) : 3000 - 100 * Double(seed),
          decode: unit == "gelu" ? 4000 + 500 * Double(seed) : 2000 + 200 * Double(seed),
          processes: unit == "gelu" ? 4 : nil)
      }
      _ = try Self.write(results, plan, to: folder)
      #expect(try Self.drawings(in: folder) == Self.names)

      let rows = try Self.text(folder + "/results.csv").split(separator: "\n").map {
        $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      }
      let timings = try #require(
        try JSONSerialization.jsonObject(
          with: Data(contentsOf: URL(fileURLWithPath: folder + "/timings.json"))) as? [String: Any])
      let runs = try #require(timings["runs"] as? [[String: Any]])
      func column(_ name: String, of unit: String) throws -> [Double] {
        let index = try #require(rows[0].firstIndex(of: name))
        return try rows.filter { $0[0] == unit }.map { try #require(Double($0[index])) }
      }
      func timing(_ name: String, of unit: String) -> [Double] {
        runs.filter { $0["unit"] as? String == unit }.compactMap { $0[name] as? Double }.sorted()
      }
      // d times h weights of FP16 for each matrix, a bit for each mask: two layers of 18 times 12.
      let block = Double(2 * 18 * 12)
      let memory = [
        "gelu": block * 2 * 2, "swiglu": block * 3 * 2, "swimglu:4": block * (2 * 2 + 0.5),
      ]
      // Six for each weight of a product: 257 times 12 of the vocabulary, 12 times 36 and its half of
      // attention and two products of 12 by 4, the length half of 8; five streams of four masks.
      let streams = ["gelu": 1.0, "swiglu": 2, "swimglu:4": 5]
      let tokens = Double(plan.settings.steps * plan.settings.tokensPerStep)

      for name in Self.names {
        let drawing = try Drawing("\(folder)/\(name)")
        #expect(drawing.marks.count == 3)
        for (unit, title) in [
          ("gelu", "LU (gelu)"), ("swiglu", "SwiGLU"), ("swimglu:4", "SwiMGLU, n_m = 4"),
        ] {
          let mark = try #require(drawing.marks.first { $0.title.hasPrefix(title + ":") })
          let losses = try column("validation_loss", of: unit)
          let mean = losses.reduce(0, +) / 3
          let deviation = (losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 2).squareRoot()
          // A tenth of a pixel of 208, over a range of less than 0.6: places have one decimal.
          #expect((drawing.y(at: mark.y) - mean).magnitude < 1e-3)
          let whisker = try #require(
            drawing.whiskers.first { $0.x1 == mark.x && $0.x2 == mark.x && $0.y1 < mark.y })
          #expect((drawing.y(at: whisker.y1) - mean - deviation).magnitude < 1e-3)
          #expect((drawing.y(at: whisker.y2) - mean + deviation).magnitude < 1e-3)
          #expect(mark.title.contains(NumberFormat.fixed(mean, 4) + " ± "))

          let costs: [Double]
          switch name {
          case "loss-memory.svg": costs = [(memory[unit] ?? 0) / 1_048_576]
          case "loss-decoding.svg":
            costs = timing("decode_tokens_per_second", of: unit).map { 1000 / $0 }
          case "loss-training.svg":
            costs = timing("training_tokens_per_second", of: unit).map {
              tokens / $0 * (unit == "gelu" ? 4 : 1)
            }
          default:
            let products =
              257 * 12 + 2 * (12 * (24 + 12) + 18 * 12 * ((streams[unit] ?? 0) + 1) + 2 * 12 * 4)
            costs = [6 * products / 1e6]
          }
          let cost = costs.sorted()[(costs.count - 1) / 2]
          #expect((drawing.x(at: mark.x) / cost - 1).magnitude < 5e-3, "\(name), \(unit)")
          let level = drawing.whiskers.first {
            $0.y1 == mark.y && $0.y2 == mark.y && $0.x2 > mark.x
          }
          #expect((level != nil) == (costs.count > 1))
          guard let level else { continue }
          let middle = costs.reduce(0, +) / 3
          let spread = (costs.reduce(0) { $0 + ($1 - middle) * ($1 - middle) } / 2).squareRoot()
          #expect((drawing.x(at: level.x2) / (cost + spread) - 1).magnitude < 5e-3)
          #expect((drawing.x(at: level.x1) / (cost - spread) - 1).magnitude < 5e-3)
        }
      }

      // The page has the drawings, with titles and descriptions of their own; report.md names the files.
      let html = try Self.text(folder + "/report.html")
      let markdown = try Self.text(folder + "/report.md")
      for name in Self.names {
        let word = name.dropLast(4)
        #expect(html.contains("aria-labelledby=\"\(word)-title \(word)-description\""))
        #expect(html.components(separatedBy: "id=\"\(word)-title\"").count == 2)
        #expect(html.components(separatedBy: "id=\"\(word)-description\"").count == 2)
        #expect(markdown.contains("](\(name))"))
      }
      #expect(html.contains("seconds of training, of all processes added up"))
    }
  }

  @Test func onePointIsADrawing() throws {
    try withTemporaryFolder { folder in
      let plan = try ComparisonTests.plan("swiglu", seeds: [1])
      let results = try Self.results(plan, in: folder) { _, _ in
        Figures(loss: 2, training: 1e6, decode: 5000)
      }
      _ = try Self.write(results, plan, to: folder)
      #expect(try Self.drawings(in: folder) == Self.names)
      for name in Self.names {
        let drawing = try Drawing("\(folder)/\(name)")
        #expect(drawing.marks.count == 1 && drawing.whiskers.isEmpty)
        #expect((drawing.y(at: drawing.marks[0].y) - 2).magnitude < 1e-3)
        #expect(drawing.labels.contains { $0.text == "SwiGLU" && $0.kind == "label name" })
      }
    }
  }

  /// A unit that diverged or was not timed has no point where it would need that, and what nobody knows
  /// has no drawing.
  @Test func whatIsNotKnownIsNotDrawn() throws {
    try withTemporaryFolder { folder in
      let plan = try ComparisonTests.plan("gelu,swiglu,swimglu:2", seeds: [1])
      let results = try Self.results(plan, in: folder) { unit, _ in
        Figures(
          loss: unit == "gelu" ? nil : 2, training: nil, decode: unit == "swiglu" ? 100 : nil)
      }
      let markdown = try Self.write(results, plan, to: folder)
      #expect(try Self.drawings(in: folder) == Self.names.dropLast())
      #expect(!markdown.contains("loss-training"))
      for (name, units) in [
        ("loss-memory.svg", ["SwiGLU", "SwiMGLU, n_m = 2"]), ("loss-decoding.svg", ["SwiGLU"]),
      ] {
        let drawing = try Drawing("\(folder)/\(name)")
        #expect(drawing.marks.map { String($0.title.prefix { $0 != ":" }) } == units)
      }
      let nothing = try Self.results(plan, in: folder) { _, _ in Figures(decode: 100) }
      try withTemporaryFolder { other in
        let markdown = try Self.write(nothing, plan, to: other)
        #expect(!markdown.contains("svg"))
        #expect(try Self.drawings(in: other) == [])
      }
    }
  }

  /// Names as long as units have them, all points in one place: no name covers another or a point, and all
  /// are within the drawing.
  @Test(arguments: [true, false])
  func namesDoNotOverlap(isOnePlace: Bool) throws {
    try withTemporaryFolder { folder in
      let units = [
        "gelu", "swiglu", "shared_swiglu", "swimglu:1", "swimglu:2", "swimglu:4", "swimglu:8",
        "swimglu:2/fixed", "swimglu:1/no-gate-mask", "swimglu:1/no-value-mask",
        "swimglu:8/fixed/no-value-mask", "bilinear-mglu:16/top-2",
      ]
      let plan = try ComparisonTests.plan(units.joined(separator: ","), seeds: [1, 2])
      let results = try Self.results(plan, in: folder) { unit, seed in
        let index = Double(plan.units.firstIndex { $0.description == unit } ?? 0)
        return Figures(
          loss: isOnePlace ? 2 : 2 + 0.001 * index + 0.002 * Double(seed), training: nil,
          decode: 5000)
      }
      _ = try Self.write(results, plan, to: folder)
      for name in ["loss-memory.svg", "loss-decoding.svg"] {
        let drawing = try Drawing("\(folder)/\(name)")
        #expect(drawing.marks.count == units.count)
        let names = drawing.labels.filter { $0.kind == "label name" }
        let page = Room(left: 0, top: 0, right: drawing.width, bottom: drawing.height)
        for label in drawing.labels { #expect(page.holds(label.room), "\(label.text)") }
        for name in names {
          let others = drawing.labels.filter { $0.y != name.y || $0.x != name.x }
          #expect(others.count == drawing.labels.count - 1)
          #expect(!others.contains { $0.room.overlaps(name.room) }, "\(name.text)")
          #expect(!drawing.marks.contains { $0.room.overlaps(name.room) }, "\(name.text)")
        }
      }
    }
  }

  /// Of several rates the drawings have the one of the lowest loss.
  @Test func unitsAreDrawnAtTheirBestRate() throws {
    try withTemporaryFolder { folder in
      var plan = try ComparisonTests.plan("gelu,swiglu", seeds: [1])
      plan.learningRates = [1e-3, 1e-2, 2e-2]
      let comparison = try ComparisonTests.comparison(plan, in: folder)
      let results = try #require(try comparison.run())
      _ = try Self.write(results, plan, to: folder)
      let drawing = try Drawing(folder + "/loss-memory.svg")
      let best = ["gelu", "swiglu"].map { unit in
        results.runs.filter { $0.unit == unit }.compactMap(\.validationLoss).min()
      }
      #expect(drawing.marks.count == 2 && drawing.text.contains("best rates"))
      for (mark, loss) in zip(drawing.marks, best) {
        let lowest = try #require(loss)
        #expect((drawing.y(at: mark.y) - lowest).magnitude < 1e-3)
      }
    }
  }

  private static func paper(in folder: String) throws -> ComparisonRecipe.Paper? {
    let text = """
      {"title": "a", "units": ["gelu", "swiglu", "swimglu:2", "swimglu:4"], "scales": {},
       "paper": {"source": "table 9", "scale": "theirs",
         "perplexity": {"gelu": 25.8, "swiglu": 23.7, "swimglu:2": 24.5, "swimglu:4": 23.9},
         "hours": {"gelu": 18, "swiglu": 22, "swimglu:4": 33}}}
      """
    try AtomicFile.write(Array(text.utf8), to: folder + "/recipe.json")
    return try ComparisonRecipe(contentsOf: folder + "/recipe.json").paper
  }

  /// Places, differences and times beside the paper's, and which pairs of units have its order.
  @Test func thePapersOrderIsComparedWithOurs() throws {
    try withTemporaryFolder { folder in
      let paper = try #require(try Self.paper(in: folder))
      let plan = try ComparisonTests.plan("gelu,swiglu,swimglu:2,swimglu:4", seeds: [1, 2])
      // Two masks are better than four by less than the seeds tell; the rest is the paper's order, SwiGLU
      // before GELU by the same in both seeds.
      let losses: [String: [Double]] = [
        "gelu": [2.50, 2.54], "swiglu": [2.30, 2.34], "swimglu:2": [2.40, 2.37],
        "swimglu:4": [2.39, 2.41],
      ]
      let results = try Self.results(plan, in: folder + "/out") { unit, seed in
        Figures(
          loss: losses[unit]?[Int(seed) - 1], training: unit == "swimglu:4" ? 500 : 1000,
          processes: unit == "gelu" ? 2 : nil)
      }
      let markdown = try Self.write(results, plan, paper: paper, to: folder)
      let table = try #require(
        markdown.components(separatedBy: "\n\n").last { $0.hasPrefix("| unit") })
      let cells = table.split(separator: "\n").map { line in
        line.dropFirst().split(separator: "|", omittingEmptySubsequences: false)
          .map { $0.trimmingCharacters(in: .whitespaces) }.dropLast()
      }
      #expect(
        cells[0] == [
          "unit", "perplexity", "paper's perplexity", "loss to LU (gelu)",
          "paper's loss to LU (gelu)", "place", "paper's place", "time of training to LU (gelu)",
          "paper's",
        ])
      // ln(23.7 / 25.8) and so on; GELU took two processes.
      #expect(
        cells.dropFirst(2).map(Array.init) == [
          ["LU (gelu)", "12.429", "25.8", "", "", "4", "4", "1.00", "1.00"],
          ["SwiGLU", "10.176", "23.7", "-0.2000 ± 0.0000", "-0.085", "1", "1", "0.50", "1.22"],
          [
            "SwiMGLU, n_m = 2", "10.859", "24.5", "-0.1350 ± 0.0495", "-0.052", "2", "3", "0.50",
            "",
          ],
          [
            "SwiMGLU, n_m = 4", "11.023", "23.9", "-0.1200 ± 0.0141", "-0.076", "3", "2", "1.00",
            "1.83",
          ],
        ])
      // Of two seeds twice the standard error is the distance of the differences: 0.07 for SwiGLU and two
      // masks, whose difference is 0.065.
      #expect(
        markdown.contains(
          "Of 6 pairs of units 5 have the paper's order, 4 of them by more than twice the standard "
            + "error over seeds. Otherwise here, 0 of them by as much: SwiMGLU, n_m = 4 against "
            + "SwiMGLU, n_m = 2 (+0.0150 ± 0.0354)."))
      let html = try Self.text(folder + "/report.html")
      #expect(html.contains("Of 6 pairs of units") && html.contains(">paper's place</th>"))
      #expect(markdown.contains("the perplexities do not"))

      let alone = try ComparisonTests.plan("gelu,swiglu", seeds: [1])
      let single = try Self.results(alone, in: folder + "/out") { unit, _ in
        Figures(loss: losses[unit]?[0])
      }
      let text = try Self.write(single, alone, paper: paper, to: folder)
      #expect(text.contains("Of 1 pair of units 1 has the paper's order; one seed tells nothing"))
      #expect(!text.contains("time of training to"))
    }
  }
}
