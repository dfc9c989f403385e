// swift-tools-version: 6.3
import PackageDescription

let package = Package(
  name: "swift-mglu",
  platforms: [.macOS(.v15)],
  products: [
    // MGLU exports it: its API is public, and has a reference of its own.
    .library(name: "MGLUCompute", targets: ["MGLUCompute"]),
    .library(name: "MGLU", targets: ["MGLU"]),
    .library(name: "MGLUModel", targets: ["MGLUModel"]),
    .library(name: "MGLUTraining", targets: ["MGLUTraining"]),
    .library(name: "MGLUServing", targets: ["MGLUServing"]),
    .library(name: "MGLUServer", targets: ["MGLUServer"]),
    // The C interface of mglu.h; `make library` links it as libmglu.
    .library(name: "MGLUInterface", type: .dynamic, targets: ["MGLUInterface"]),
    .executable(name: "mglu", targets: ["mglu"]),
    // For the package Fuzz alone.
    .library(name: "_MGLUFuzzTargets", targets: ["MGLUFuzzTargets"]),
  ],
  traits: [
    .trait(name: "Server", description: "`mglu serve`: an HTTP server, and what it depends on"),
    .default(enabledTraits: ["Server"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
    .package(url: "https://github.com/apple/swift-numerics", from: "1.1.1"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
  ],
  targets: [
    .target(name: "CMGLUKernels", exclude: ["cuda"]),
    .target(name: "CMGLUResources", exclude: ["pages", "python"]),
    .target(name: "MGLUCompute", dependencies: ["CMGLUKernels"]),
    .target(name: "MGLU", dependencies: ["MGLUCompute"]),
    .target(name: "CMGLUInterface"),
    .target(name: "MGLUInterface", dependencies: ["MGLU", "CMGLUInterface"]),
    .target(
      name: "MGLUTemplates",
      dependencies: [
        "MGLUCompute", .product(name: "OrderedCollections", package: "swift-collections"),
      ]),
    .target(
      name: "MGLUModel",
      dependencies: [
        "MGLU", "MGLUTemplates", "CMGLUResources",
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "OrderedCollections", package: "swift-collections"),
      ]),
    .target(name: "MGLUTraining", dependencies: ["MGLUModel"]),
    .target(name: "MGLUServing", dependencies: ["MGLUModel"]),
    .target(
      name: "MGLUServerAPI",
      dependencies: [
        "MGLUServing", .product(name: "OrderedCollections", package: "swift-collections"),
      ]),
    .target(
      name: "MGLUServer",
      dependencies: [
        "MGLUServerAPI", "CMGLUResources",
        .product(
          name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Server"])),
        .product(
          name: "ServiceLifecycle", package: "swift-service-lifecycle",
          condition: .when(traits: ["Server"])),
        .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Server"])),
        .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Server"])),
        .product(name: "NIOHTTP1", package: "swift-nio", condition: .when(traits: ["Server"])),
        .product(
          name: "NIOHTTPTypes", package: "swift-nio-extras", condition: .when(traits: ["Server"])),
        .product(
          name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras",
          condition: .when(traits: ["Server"])),
      ]),
    .target(
      name: "MGLUReference",
      dependencies: ["MGLUTraining", .product(name: "RealModule", package: "swift-numerics")]),
    .target(name: "MGLUBenchmark", dependencies: ["MGLUReference"]),
    .target(name: "MGLUReports", dependencies: ["MGLUTraining", "CMGLUResources"]),
    .executableTarget(
      name: "mglu",
      dependencies: [
        "MGLUReference", "MGLUBenchmark", "MGLUReports", "MGLUServer",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(
          name: "UnixSignals", package: "swift-service-lifecycle",
          condition: .when(traits: ["Server"])),
      ]),
    .target(
      name: "MGLUTestSupport", dependencies: ["MGLUCompute"], path: "Tests/MGLUTestSupport"),
    .testTarget(
      name: "MGLUComputeTests", dependencies: ["MGLUBenchmark", "MGLUReference", "MGLUTestSupport"]),
    .testTarget(name: "MGLUTests", dependencies: ["MGLUReference", "MGLUTestSupport"]),
    .testTarget(name: "MGLUInterfaceTests", dependencies: ["MGLUInterface", "CMGLUInterface"]),
    .executableTarget(
      name: "RenderTemplates", dependencies: ["MGLUTemplates"], path: "Tests/RenderTemplates"),
    .testTarget(name: "MGLUTemplatesTests", dependencies: ["MGLUTemplates", "MGLUTestSupport"]),
    .testTarget(name: "MGLUModelTests", dependencies: ["MGLUReference", "MGLUTestSupport"]),
    .testTarget(
      name: "MGLUTrainingTests", dependencies: ["MGLUReference", "MGLUReports", "MGLUTestSupport"]),
    .testTarget(name: "MGLUReferenceTests", dependencies: ["MGLUReference", "MGLUTestSupport"]),
    .testTarget(name: "MGLUReportsTests", dependencies: ["MGLUReports"]),
    .target(
      name: "MGLUServingTestSupport", dependencies: ["MGLUServing"],
      path: "Tests/MGLUServingTestSupport"),
    .testTarget(
      name: "MGLUServingTests", dependencies: ["MGLUServing", "MGLUServingTestSupport"]),
    .testTarget(
      name: "MGLUServerAPITests", dependencies: ["MGLUServerAPI", "MGLUServingTestSupport"]),
    .testTarget(
      name: "MGLUServerTests", dependencies: ["MGLUServer", "MGLUServingTestSupport"]),
    .target(
      name: "MGLUFuzzTargets",
      dependencies: ["MGLUServer", "MGLUTraining", "MGLUServingTestSupport", "MGLUTestSupport"],
      path: "Tests/MGLUFuzzTargets"),
    .testTarget(name: "MGLUFuzzTests", dependencies: ["MGLUFuzzTargets", "MGLUTestSupport"]),
    .testTarget(name: "CommandTests", dependencies: ["mglu", "MGLUTestSupport"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c2x
)

// Modules export what they are made of, so a target uses more of this package than it names above. SwiftPM
// compiles it again only where a module that it depends on by name has changed, so it names them all.
func names(of dependencies: [Target.Dependency], in package: Package) -> Set<String> {
  dependencies.reduce(into: []) { found, dependency in
    guard case .byNameItem(let name, _) = dependency,
      let target = package.targets.first(where: { $0.name == name })
    else { return }
    found.formUnion([name])
    found.formUnion(names(of: target.dependencies, in: package))
  }
}

for target in package.targets {
  let others = names(of: target.dependencies, in: package).filter { name in
    !target.dependencies.contains { if case .byNameItem(name, _) = $0 { true } else { false } }
  }
  target.dependencies += others.sorted().map { .byNameItem(name: $0, condition: nil) }
}
