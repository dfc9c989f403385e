/// Upper and lower case as in Python.
extension String {
  /// In lower case; a sigma at the end of a word is a final one.
  var pythonLowercased: String {
    guard utf8.contains(where: { $0 >= 128 }) else { return lowercased() }
    return loweredFrom(unicodeScalars.startIndex)
  }

  private func loweredFrom(_ start: Index) -> String {
    let scalars = unicodeScalars
    var result = ""
    var index = start
    while index < scalars.endIndex {
      let scalar = scalars[index]
      if scalar == "Σ" {
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
        let after = scalars[scalars.index(after: index)...].first { !$0.properties.isCaseIgnorable }
        let isFinal = before?.properties.isCased == true && after?.properties.isCased != true
        result += isFinal ? "ς" : "σ"
      } else {
        result += scalar.properties.lowercaseMapping
      }
      scalars.formIndex(after: &index)
    }
    return result
  }

  /// The first scalar in title case, the rest in lower case.
  var pythonCapitalized: String {
    guard let first = unicodeScalars.first else { return self }
    let second = unicodeScalars.index(after: unicodeScalars.startIndex)
    return first.properties.titlecaseMapping + loweredFrom(second)
  }

  /// Every run of letters with case begins with title case.
  var pythonTitle: String {
    var result = ""
    var isInWord = false
    for scalar in unicodeScalars {
      let properties = scalar.properties
      result += isInWord ? properties.lowercaseMapping : properties.titlecaseMapping
      isInWord = properties.isCased
    }
    return result
  }

  /// The filter `title`: words end at blanks, hyphens and opening brackets.
  var jinjaTitle: String {
    var (result, rest) = ("", unicodeScalars[...])
    func ends(_ scalar: Unicode.Scalar) -> Bool {
      scalar.isBlank || "-({[<".unicodeScalars.contains(scalar)
    }
    while let first = rest.first {
      let word = rest.prefix { ends($0) == ends(first) }
      result += first.properties.uppercaseMapping + String(word.dropFirst()).pythonLowercased
      rest = rest[word.endIndex...]
    }
    return result
  }

  var swappingCase: String {
    unicodeScalars.map { scalar in
      let properties = scalar.properties
      if properties.isUppercase { return properties.lowercaseMapping }
      return properties.isLowercase ? properties.uppercaseMapping : String(scalar)
    }.joined()
  }

  /// For comparisons without case.
  var caseFolded: String {
    unicodeScalars.map { scalar in
      switch scalar.value {
      case 0x131: String(scalar)
      case 0x13A0...0x13F5: String(scalar)
      case 0x13F8...0x13FD, 0xAB70...0xABBF: scalar.properties.uppercaseMapping
      default:
        scalar.properties.uppercaseMapping.unicodeScalars.map(\.properties.lowercaseMapping)
          .joined()
      }
    }.joined()
  }

  var isPythonLowercase: Bool {
    unicodeScalars.contains(where: \.properties.isLowercase)
      && !unicodeScalars.contains { $0.properties.isUppercase || $0.isTitlecase }
  }

  var isPythonUppercase: Bool {
    unicodeScalars.contains(where: \.properties.isUppercase)
      && !unicodeScalars.contains { $0.properties.isLowercase || $0.isTitlecase }
  }

  private var isPythonTitle: Bool {
    var (isInWord, isFound) = (false, false)
    for scalar in unicodeScalars {
      if scalar.properties.isUppercase || scalar.isTitlecase {
        if isInWord { return false }
        isFound = true
      } else if scalar.properties.isLowercase, !isInWord {
        return false
      }
      isInWord =
        scalar.properties.isUppercase || scalar.properties.isLowercase || scalar.isTitlecase
    }
    return isFound
  }

  /// The method `isalpha` and its kin.
  func has(property name: String) -> Bool {
    let scalars = unicodeScalars
    switch name {
    case "isascii": return scalars.allSatisfy(\.isASCII)
    case "isprintable": return scalars.allSatisfy(\.isPrintable)
    case "islower": return isPythonLowercase
    case "isupper": return isPythonUppercase
    case "istitle": return isPythonTitle
    case "isidentifier":
      guard let first = scalars.first else { return false }
      return (first == "_" || first.properties.isXIDStart)
        && scalars.dropFirst().allSatisfy(\.properties.isXIDContinue)
    default: break
    }
    guard !scalars.isEmpty else { return false }
    return switch name {
    case "isalpha": scalars.allSatisfy(\.isLetter)
    case "isdecimal": scalars.allSatisfy(\.isDecimalDigit)
    case "isdigit": scalars.allSatisfy(\.isAnyDigit)
    case "isnumeric": scalars.allSatisfy { $0.properties.numericType != nil }
    case "isspace": scalars.allSatisfy(\.isBlank)
    default: scalars.allSatisfy { $0.isLetter || $0.properties.numericType != nil }
    }
  }

  /// How many words of letters, digits and underscores there are.
  var wordCount: Int {
    var (count, isInWord) = (0, false)
    for scalar in unicodeScalars {
      if scalar.isWordPart, !isInWord { count += 1 }
      isInWord = scalar.isWordPart
    }
    return count
  }
}

extension Unicode.Scalar {
  /// White space, as Python sees it.
  var isBlank: Bool { properties.isWhitespace || (0x1c...0x1f).contains(value) }

  /// Whether a line ends with the scalar.
  var endsLine: Bool {
    switch value {
    case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }

  var isTitlecase: Bool { properties.generalCategory == .titlecaseLetter }

  var isLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  var isDecimalDigit: Bool { properties.numericType == .decimal }
  var isAnyDigit: Bool { isDecimalDigit || properties.numericType == .digit }

  /// Whether the scalar is part of a word in regular expressions.
  var isWordPart: Bool { self == "_" || isLetter || properties.numericType != nil }

  /// A letter or digit of ASCII.
  var isLetterOrDigit: Bool {
    isASCII && (("0"..."9") ~= self || ("a"..."z") ~= self || ("A"..."Z") ~= self)
  }
}
