// Refreshes the live parts of a page without touching what the reader is doing: selected rows, focus, scrolling.

const page = document.querySelector(".upstash");

if (page) {
    startSelection(page);
    startSubmitting(page);
    if (page.dataset.liveUrl) {
        startRefreshing(page);
    }
}

function startSelection(page) {
    const all = page.querySelector("[data-select-all]");
    const counter = page.querySelector("[data-selection]");

    function show() {
        const boxes = [...page.querySelectorAll("#result_list .action-select")];
        const selected = boxes.filter((box) => box.checked);
        for (const box of boxes) {
            box.closest("tr").classList.toggle("selected", box.checked);
        }
        if (all) {
            all.checked = boxes.length > 0 && selected.length === boxes.length;
            all.indeterminate = selected.length > 0 && !all.checked;
        }
        if (counter) {
            const text = counter.dataset.text.replace("%(selected)s", selected.length).replace("%(all)s", boxes.length);
            if (counter.textContent !== text) {
                counter.textContent = text;
            }
        }
    }

    page.addEventListener("change", (event) => {
        if (event.target === all) {
            for (const box of page.querySelectorAll("#result_list .action-select")) {
                box.checked = all.checked;
            }
        }
        show();
    });
    page.addEventListener("upstash:refreshed", show);
    window.addEventListener("pageshow", show);
    show();
}

function startSubmitting(page) {
    for (const button of page.querySelectorAll("[data-without-script]")) {
        button.hidden = true;
    }
    for (const select of page.querySelectorAll("[data-submits]")) {
        select.addEventListener("change", () => select.form.requestSubmit());
    }
}

function startRefreshing(page) {
    const status = page.querySelector("[data-live-status]");
    const toggle = page.querySelector("[data-live-toggle]");
    const period = 1000 * Number(page.dataset.liveSeconds);
    let isWanted = true;
    let timer;

    function plan() {
        clearTimeout(timer);
        if (isWanted && !document.hidden) {
            timer = setTimeout(refresh, period);
        }
    }

    function end(text) {
        isWanted = false;
        status.textContent = text;
        toggle.hidden = true;
    }

    async function refresh() {
        try {
            const answer = await fetch(page.dataset.liveUrl, { credentials: "same-origin", redirect: "manual" });
            if (answer.type === "opaqueredirect" || [401, 403, 404].includes(answer.status)) {
                end(status.dataset.refused);
                return;
            }
            if (!answer.ok) {
                throw new Error(answer.statusText);
            }
            take(new DOMParser().parseFromString(await answer.text(), "text/html"));
        } catch {
            status.textContent = status.dataset.failed;
        }
        plan();
    }

    function take(fresh) {
        const failure = fresh.querySelector("[data-part=failure]");
        status.textContent = failure ? failure.textContent : "";
        page.classList.toggle("upstash-stale", failure !== null);
        if (failure) {
            return;
        }
        const selected = new Set([...page.querySelectorAll(".action-select:checked")].map((box) => box.value));
        const focused = page.contains(document.activeElement) ? nameOf(document.activeElement) : null;
        for (const part of fresh.querySelectorAll("[data-part]")) {
            const place = page.querySelector(`[data-part="${part.dataset.part}"]`);
            if (place && place.innerHTML !== part.innerHTML) {
                place.className = part.className;
                place.replaceChildren(...part.childNodes);
            }
        }
        for (const box of page.querySelectorAll(".action-select")) {
            box.checked = selected.has(box.value);
        }
        if (focused && !page.contains(document.activeElement)) {
            const again = [...page.querySelectorAll("[data-part] a, [data-part] input, [data-part] [tabindex]")];
            again.find((element) => nameOf(element) === focused)?.focus({ preventScroll: true });
        }
        page.dispatchEvent(new Event("upstash:refreshed"));
    }

    function nameOf(element) {
        return `${element.tagName} ${element.value ?? element.getAttribute("href") ?? element.getAttribute("aria-label")}`;
    }

    toggle.hidden = false;
    toggle.addEventListener("click", () => {
        isWanted = !isWanted;
        toggle.textContent = isWanted ? toggle.dataset.pause : toggle.dataset.resume;
        if (isWanted) {
            refresh();
        } else {
            plan();
        }
    });
    document.addEventListener("visibilitychange", () => {
        if (isWanted && !document.hidden) {
            clearTimeout(timer);
            refresh();
        } else {
            plan();
        }
    });
    plan();
}
