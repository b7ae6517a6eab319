/* The search of the theme runs in a Worker, which browsers do not start for pages from the disk. There, a hidden frame
   takes its place. On a server this does nothing. */
if (location.protocol === "file:") {
  self.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.inside = this.frame.contentWindow;
      addEventListener("message", (event) => {
        if (event.source !== this.inside) return;
        const heard = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(heard);
        if (this.onmessage) this.onmessage(heard);
      });
      const setting = "self.postMessage = (data) => parent.postMessage(data, '*')";
      const page = this.inside.document;
      page.open();
      page.write(`<script>${setting}</` + `script><script src="${url}"></` + "script>");
      page.close();
      this.ready = new Promise((resolve) => this.frame.addEventListener("load", resolve, { once: true }));
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
