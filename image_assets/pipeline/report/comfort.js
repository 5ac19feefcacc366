// Comfort alone: everything can be read without it.
"use strict";
const section = document.getElementById("labels");
const blocks = section ? [...section.querySelectorAll("details.block")] : [];
if (blocks.length > 3) {
  const finder = document.createElement("div");
  const label = document.createElement("label");
  const field = document.createElement("input");
  const found = document.createElement("p");
  finder.className = "finder";
  found.className = "quiet";
  found.setAttribute("role", "status");
  field.type = "search";
  field.id = "finder";
  label.htmlFor = "finder";
  label.textContent = "Show only labels and file names with";
  finder.append(label, field, found);
  blocks[0].before(finder);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let pictures = 0;
    for (const block of blocks) {
      const named = block.querySelector("summary bdi, summary span").textContent.toLowerCase().includes(wanted);
      let some = 0;
      for (const item of block.querySelectorAll("li")) {
        const fits = named || item.querySelector(".name").title.toLowerCase().includes(wanted);
        item.hidden = !fits;
        some += fits;
      }
      block.hidden = !some;
      pictures += some;
    }
    found.textContent = wanted ? `${pictures} of the pictures shown here` : "";
  });
}
// On paper nothing can be opened.
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details:not([open])")) closed.open = true;
});
