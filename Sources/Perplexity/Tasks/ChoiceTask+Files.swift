import Files
import Foundation

// The formats of llama-perplexity's task files, and its random choice of some of the tasks.

extension ChoiceTask {
  /// Reads HellaSwag: six lines per task, the context, the number of the correct ending from 0, and four endings.
  ///
  /// - Parameters:
  ///   - limit: the number of tasks to draw at random; nil for all.
  ///   - tokenize: returns the ids of a text, including those that the vocabulary adds to every text.
  public static func hellaSwag(
    _ text: String, path: String, limit: Int? = nil, tokenize: (String) -> [Int32]
  ) throws(FormatError) -> [ChoiceTask] {
    let lines = lines(of: text)
    guard !lines.isEmpty, lines.count % 6 == 0 else {
      throw FormatError(path: path, "\(lines.count) lines where a task has six")
    }
    var remaining = Array(0..<lines.count / 6)
    var chosen = remaining
    if let limit, limit < remaining.count {
      var random = MersenneTwister(seed: 1)
      chosen = (0..<limit).map { _ in remaining.remove(at: random.below(remaining.count)) }
    }
    var tasks: [ChoiceTask] = []
    for index in chosen {
      let part = lines[index * 6..<index * 6 + 6].map(String.init)
      guard let right = Int(part[1].trimmingCharacters(in: .whitespaces)), (0..<4).contains(right) else {
        throw FormatError(
          path: path, subject: "task \(index + 1)", "its second line, \(part[1]), is not the number of an ending")
      }
      tasks.append(
        try ChoiceTask(
          question: part[0], answers: Array(part[2...]), correct: [right], path: path, number: index + 1,
          tokenize: tokenize))
    }
    return tasks
  }

  /// Reads WinoGrande: lines of number, sentence with a gap `_`, two choices, and the number of the correct one (1 or
  /// 2).
  ///
  /// If both sequences have more than three tokens after their common prefix, the tokens after the choice are scored,
  /// except the last. Otherwise the choice is scored too.
  public static func winoGrande(
    _ text: String, path: String, limit: Int? = nil, tokenize: (String) -> [Int32]
  ) throws(FormatError) -> [ChoiceTask] {
    var lines = lines(of: text)
    guard !lines.isEmpty else { throw FormatError(path: path, "no tasks") }
    if let limit, limit < lines.count { lines = MersenneTwister.picks(limit, of: lines.count).map { lines[$0] } }
    var tasks: [ChoiceTask] = []
    for (index, line) in lines.enumerated() {
      func failure(_ reason: String) -> FormatError { FormatError(path: path, subject: "task \(index + 1)", reason) }
      guard let fields = commaSeparated(line), fields.count == 5 else {
        throw failure("not five fields: number, sentence, choice, choice, answer")
      }
      guard let gap = fields[1].firstIndex(of: "_") else { throw failure("its sentence has no gap _") }
      guard let answer = Int(fields[4].trimmingCharacters(in: .whitespaces)), (1...2).contains(answer) else {
        throw failure("its answer, \(fields[4]), is not 1 or 2")
      }
      let before = String(fields[1][..<gap])
      let after = String(fields[1][fields[1].index(after: gap)...])
      let sequences = [fields[2], fields[3]].map { tokenize(before + $0 + after) }
      let prefix = commonPrefix(sequences)
      guard prefix > 0, sequences.allSatisfy({ $0.count > prefix }) else { throw failure("its choices do not differ") }
      let skipsChoice = sequences.allSatisfy { $0.count - prefix > 3 }
      let scored = zip(sequences, [fields[2], fields[3]]).map { sequence, choice in
        let start = skipsChoice ? min(sequence.count - 1, tokenize(before + choice).count) : prefix
        return start..<max(start + 1, sequence.count - 1)
      }
      tasks.append(ChoiceTask(sequences: sequences, scored: scored, correct: [answer - 1]))
    }
    return tasks
  }

  /// Reads multiple choice (MMLU, ARC, TruthfulQA): binary, little-endian. u32 tasks; u32 byte offset of each; then per
  /// task the question, answers of which one is correct, and answers of which several are correct, which are not used.
  /// A text is a u32 length and bytes. Answers are a u32 count, texts, and an i32 label each, 1 for a correct answer.
  public static func multipleChoice(
    _ bytes: [UInt8], path: String, limit: Int? = nil, tokenize: (String) -> [Int32]
  ) throws(FormatError) -> [ChoiceTask] {
    // A count without a zero byte exceeds 16 million: the file is text, or of another kind.
    guard bytes.count < 4 || bytes.prefix(4).contains(0) else {
      throw FormatError(path: path, "is not a file of multiple-choice tasks in llama-perplexity's binary format")
    }
    var reader = TaskReader(bytes, path: path)
    let count = try reader.count(minimumBytes: 4)
    guard count > 0 else { throw FormatError(path: path, "no tasks") }
    var offsets: [Int] = []
    for _ in 0..<count { offsets.append(Int(try reader.integer())) }
    let chosen: [Int]? = limit.flatMap { $0 < count ? MersenneTwister.picks($0, of: count) : nil }
    var tasks: [ChoiceTask] = []
    for index in chosen ?? Array(0..<count) {
      reader.task = index + 1
      if chosen != nil { try reader.seek(offsets[index]) }
      let question = try reader.text()
      let (answers, labels) = try reader.answers()
      _ = try reader.answers()
      guard !question.isEmpty, !answers.isEmpty, !answers.contains("") else {
        throw FormatError(path: path, subject: "task \(index + 1)", "its question or one of its answers is empty")
      }
      tasks.append(
        try ChoiceTask(
          question: question, answers: answers, correct: Set(labels.indices.filter { labels[$0] == 1 }), path: path,
          number: index + 1, tokenize: tokenize))
    }
    return tasks
  }

  /// Splits at LF, CR LF (a single character in Swift) and CR.
  private static func lines(of text: String) -> [Substring] {
    var lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines
  }

  /// Splits at the first four commas outside quotes. Quotes are removed.
  private static func commaSeparated(_ line: Substring) -> [String]? {
    var fields: [String] = [""]
    var quoted = false
    for character in line {
      switch character {
      case "\"": quoted.toggle()
      case "," where !quoted && fields.count < 5: fields.append("")
      default: fields[fields.count - 1].append(character)
      }
    }
    return quoted ? nil : fields
  }
}

/// Reads a binary file of tasks; lengths are checked against the remaining bytes.
private struct TaskReader {
  private var reader: ByteReader
  private let path: String
  var task: Int?

  init(_ bytes: [UInt8], path: String) {
    reader = ByteReader(bytes)
    self.path = path
  }

  private func failure(_ reason: String) -> FormatError {
    FormatError(
      path: path, subject: task.map { "task \($0)" }, offset: reader.offset, reason,
      hint: "the file is truncated or damaged")
  }

  mutating func seek(_ offset: Int) throws(FormatError) {
    guard reader.seek(to: offset) else { throw failure("a task at byte \(offset), beyond the end") }
  }

  mutating func integer() throws(FormatError) -> UInt32 {
    guard let value = reader.integer(UInt32.self) else { throw failure("the file ends") }
    return value
  }

  mutating func count(minimumBytes: Int) throws(FormatError) -> Int {
    let count = Int(try integer())
    guard count <= reader.remaining / minimumBytes else { throw failure("counts \(count), more than remain") }
    return count
  }

  mutating func text() throws(FormatError) -> String {
    let length = try count(minimumBytes: 1)
    let start = reader
    guard let bytes = reader.take(length), let text = String(validating: bytes, as: UTF8.self) else {
      reader = start
      throw failure("not valid UTF-8")
    }
    return text
  }

  mutating func answers() throws(FormatError) -> (texts: [String], labels: [UInt32]) {
    let count = try count(minimumBytes: 8)
    guard count <= 100 else { throw failure("\(count) answers") }
    var texts: [String] = []
    for _ in 0..<count { texts.append(try text()) }
    var labels: [UInt32] = []
    for _ in 0..<count { labels.append(try integer()) }
    return (texts, labels)
  }
}
