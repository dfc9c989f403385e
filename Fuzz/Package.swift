// swift-tools-version: 6.2
import PackageDescription

/// libFuzzer over what `make test` replays. `scripts/fuzz` builds it, with the sanitizers.
let package = Package(
  name: "Fuzz",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "swift-mglu", path: "..")],
  targets: [
    .executableTarget(
      name: "Fuzz", dependencies: [.product(name: "_MGLUFuzzTargets", package: "swift-mglu")],
      // libFuzzer has the main function.
      swiftSettings: [.unsafeFlags(["-parse-as-library"])],
      linkerSettings: [.unsafeFlags(["-use-ld=lld"], .when(platforms: [.linux]))])
  ],
  swiftLanguageModes: [.v6]
)
