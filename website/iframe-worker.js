// Browsers start no worker from a file, and the search of the site asks for one: a hidden frame does its work.
if (location.protocol === "file:") {
  const add = (view, source) => new Promise((done, failed) => {
    const script = view.document.createElement("script");
    Object.assign(script, { src: source, onload: done, onerror: failed });
    view.document.body.append(script);
  });
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(source) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.view = frame.contentWindow;
      this.view.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.view.importScripts = (...sources) => Promise.all(sources.map((one) => add(this.view, one)));
      this.ready = add(this.view, source);
    }
    postMessage(data) {
      this.ready.then(() => this.view.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
