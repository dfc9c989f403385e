import MGLUTraining
import Testing

@Suite struct UnitSpecificationTests {
  @Test(
    arguments: [
      ("gelu", .lu, .gelu), ("swiglu", .glu, .silu), ("reglu", .glu, .relu),
      ("shared_swiglu", .sharedGLU, .silu), ("swimglu:1", .mglu(.init(count: 1)), .silu),
      ("relu2", .lu, .relu2), ("re2mglu:2", .mglu(.init(count: 2)), .relu2),
      ("mglu", .mglu(.init(count: 4)), .sigmoid),
      ("swimglu:4/fixed", .mglu(.init(count: 4, kind: .fixed)), .silu),
      ("gemglu:4/top-2", .mglu(.init(count: 4, routerTopK: 2)), .gelu),
      ("swimglu:1/no-gate-mask", .mglu(.init(count: 1, ablation: .noGateMask)), .silu),
      ("swimglu:2/no-value-mask", .mglu(.init(count: 2, ablation: .noValueMask)), .silu),
    ] as [(String, FeedForwardUnitKind, Activation)])
  func unitsAreParsed(text: String, unit: FeedForwardUnitKind, activation: Activation) throws {
    let found = try UnitSpecification(parsing: text)
    #expect(found.unit == unit && found.activation == activation)
    #expect(try UnitSpecification(parsing: found.description).unit == unit)
  }

  /// Every unit has one name, and the reports' title is the name as it is written.
  @Test func everyUnitHasAName() throws {
    let names = UnitName.allCases
    #expect(Set(names.map(\.rawValue)).count == names.count)
    for activation in Activation.allCases {
      #expect(names.contains { $0.unit == .lu && $0.activation == activation })
      // GELU's approximation has GELU's prefix.
      let gated = names.count { $0.unit == .glu && $0.activation == activation }
      #expect(gated == (activation == .geluTanh ? 0 : 1))
    }
    for name in names {
      #expect(UnitName(rawValue: name.rawValue) == name)
      #expect(!name.rawValue.contains(" ") && name.rawValue == name.rawValue.lowercased())
    }
    let spelled: Set = [
      "gelu", "glu", "swiglu", "geglu", "reglu", "mglu", "swimglu", "gemglu", "remglu",
      "shared_swiglu", "bilinear-mglu",
    ]
    #expect(spelled.isSubset(of: Set(names.map(\.rawValue))))
  }

  /// Results and recipes of an earlier spelling are read, and go on in the folders they are in.
  @Test func earlierSpellingIsUnderstood() throws {
    let units = try ["shared-swiglu", "shared_swiglu"].map(UnitSpecification.init(parsing:))
    #expect(units[0] == units[1] && units[0].description == "shared_swiglu")
    #expect(units[0].unit == .sharedGLU)
  }

  @Test(arguments: [
    "", "foo", "gelu:2", "swiglu/fixed", "swimglu:", "swimglu:0", "swimglu:17", "swimglu:x",
    "swimglu:4:4", "swimglu:4/", "swimglu:4/top-5", "swimglu:4/top-0", "swimglu:4/top-",
    "swimglu:4/loose", "swimglu:4/no-gate-mask/no-value-mask", "swimglu:4/top-1/top-2",
    "gelu,,swiglu", "gelu,gelu", "swimglu,swimglu:4",
  ])
  func junkIsRefused(text: String) {
    let error = #expect(throws: ExperimentError.self) { try UnitSpecification.list(text) }
    #expect(error?.code == .unit)
  }
}
