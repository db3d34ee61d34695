extension CalibrationText {
  /// The maximum number of tokens for a character of a script that the vocabulary has. With more, the vocabulary has neither
  /// words nor most letters of the script, and spells its characters in bytes. English with a vocabulary of single bytes
  /// has 1; Chinese has 1.8 with the vocabulary of SmolLM2, an English model.
  static let tokensPerCharacter = 1.5
  /// The number of a file's first characters that are counted.
  static let sampledCharacters = 20_000

  /// Removes the files whose script the vocabulary does not have, unless they are named themselves, or no other text
  /// remains.
  ///
  /// A model of such a vocabulary has not learned the script. Its tokens, of which there are many in few characters, have
  /// inputs and drift unlike those of text that it is used for.
  ///
  /// - Parameter encode: returns a text's token ids, without BOS.
  /// - Returns: the names of the removed files, without those that other files have.
  public mutating func removeUnknownScripts(encode: (String) -> [Int32]) -> [String] {
    let isRemoved = sources.map { $0.isFromFolder && $0.isSpelled(encode) }
    let kept = zip(sources, isRemoved).filter { !$0.1 }.map(\.0)
    guard isRemoved.contains(true), kept.contains(where: { !$0.isEmpty }) else { return [] }
    let names = Set(kept.map(\.name))
    let removed = self.names.filter { !names.contains($0) }
    sources = kept
    return removed
  }
}

extension CalibrationText.Source {
  fileprivate var isEmpty: Bool { documents.allSatisfy(\.isEmpty) }

  /// Whether the tokens of a vocabulary are parts of this text's characters.
  fileprivate func isSpelled(_ encode: (String) -> [Int32]) -> Bool {
    var (characters, tokens) = (0, 0)
    for document in documents where characters < CalibrationText.sampledCharacters {
      let sample = String(document.unicodeScalars.prefix(CalibrationText.sampledCharacters - characters))
      characters += sample.unicodeScalars.count
      tokens += encode(sample).count
    }
    return Double(tokens) > CalibrationText.tokensPerCharacter * Double(characters)
  }
}
