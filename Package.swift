// swift-tools-version: 6.2
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
    .library(name: "MGLUServer", targets: ["MGLUServer"]),
    .executable(name: "mglu", targets: ["mglu"]),
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
    .target(name: "CMGLUTransformers", exclude: ["python"]),
    .target(name: "MGLUCompute", dependencies: ["CMGLUKernels"]),
    .target(name: "MGLU", dependencies: ["MGLUCompute"]),
    .target(
      name: "MGLUModel",
      dependencies: [
        "MGLU", "CMGLUTransformers",
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "OrderedCollections", package: "swift-collections"),
      ]),
    .target(name: "MGLUTraining", dependencies: ["MGLUModel"]),
    .target(
      name: "MGLUServer",
      dependencies: [
        "MGLUModel",
        .product(
          name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Server"])),
        .product(
          name: "ServiceLifecycle", package: "swift-service-lifecycle",
          condition: .when(traits: ["Server"])),
        .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Server"])),
        .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Server"])),
        .product(
          name: "NIOHTTPTypes", package: "swift-nio-extras", condition: .when(traits: ["Server"])),
      ]),
    .target(
      name: "MGLUDiagnostics",
      dependencies: [
        "MGLUTraining",
        .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .executableTarget(
      name: "mglu",
      dependencies: [
        "MGLUDiagnostics", "MGLUServer", "MGLUTraining",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(
          name: "UnixSignals", package: "swift-service-lifecycle",
          condition: .when(traits: ["Server"])),
      ]),
    .testTarget(name: "MGLUComputeTests", dependencies: ["MGLUCompute", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUTests", dependencies: ["MGLU", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUModelTests", dependencies: ["MGLUModel", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUTrainingTests", dependencies: ["MGLUTraining", "MGLUDiagnostics"]),
    .testTarget(name: "MGLUDiagnosticsTests", dependencies: ["MGLUDiagnostics"]),
    .testTarget(name: "MGLUServerTests", dependencies: ["MGLUServer"]),
    .testTarget(name: "CommandTests", dependencies: ["mglu"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c2x
)
