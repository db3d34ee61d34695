/// How the turns of a conversation are written out for a model.
///
/// A model's own template is a program; the forms that most of them give are few, and recognised by their markers.
public enum ChatFormat: Sendable, CaseIterable {
  /// `<|im_start|>role … <|im_end|>` (ChatML: Qwen and many others).
  case chatML
  /// `<|start_header_id|>role<|end_header_id|> … <|eot_id|>` (Llama 3).
  case llama3
  /// `<｜User｜> … <｜Assistant｜> … <｜end▁of▁sentence｜>` (DeepSeek).
  case deepSeek
  /// `[INST] … [/INST]` (Mistral, Llama 2).
  case instruct
  /// The contents alone, with a blank line between them.
  case plain

  public struct Turn: Sendable, Equatable {
    public let role: String
    public let content: String

    public init(role: String, content: String) {
      self.role = role
      self.content = content
    }
  }

  /// The form that a template (`tokenizer.chat_template`) gives.
  public init(template: String?) {
    let markers: [(String, ChatFormat)] = [
      ("<|im_start|>", .chatML), ("<|start_header_id|>", .llama3), ("<｜User｜>", .deepSeek), ("[INST]", .instruct),
    ]
    self = markers.first { template?.contains($0.0) == true }?.1 ?? .plain
  }

  public func text(_ turns: [Turn]) -> String {
    switch self {
    case .plain: turns.map { $0.content + "\n\n" }.joined()
    case .chatML: turns.map { "<|im_start|>\($0.role)\n\($0.content)<|im_end|>\n" }.joined()
    case .llama3:
      turns.map { "<|start_header_id|>\($0.role)<|end_header_id|>\n\n\($0.content)<|eot_id|>" }.joined()
    case .deepSeek:
      turns.map { turn in
        switch turn.role {
        case "user": "<｜User｜>\(turn.content)"
        case "assistant": "<｜Assistant｜>\(turn.content)<｜end▁of▁sentence｜>"
        default: turn.content
        }
      }.joined()
    case .instruct:
      turns.map { $0.role == "assistant" ? " \($0.content)</s>" : "[INST] \($0.content) [/INST]" }.joined()
    }
  }
}
