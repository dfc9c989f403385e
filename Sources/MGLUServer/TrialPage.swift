#if Server
  internal import CMGLUResources

  /// The page at `/`: a chat, or a prompt and its continuation, and the speed. The page loads no other
  /// files.
  enum TrialPage {
    /// The page; it asks for a key where requests must carry one, and chats with a model that has a
    /// template for chats.
    static func html(needsKey: Bool, chats: Bool) -> String {
      String(cString: cmglu_trial_page()).replacing(" {{hidden}}", with: needsKey ? "" : " hidden")
        .replacing("{{chats}}", with: "\(chats)")
    }
  }
#endif
